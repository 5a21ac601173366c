"""What can go wrong with a lab."""

from svmove.errors import SvmoveError


class LabError(SvmoveError):
    code = "lab"
