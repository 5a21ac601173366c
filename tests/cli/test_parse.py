"""--disk, from text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svmove.cli import parse
from svmove.errors import UsageError
from svmove.requests import DiskRequest, Format


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vda", DiskRequest(target="vda")),
        ("vda=fast", DiskRequest(target="vda", pool="fast")),
        ("vda,format=raw", DiskRequest(target="vda", format=Format.RAW)),
        (
            "vda=fast,format=qcow2,name=web.img",
            DiskRequest(target="vda", pool="fast", format=Format.QCOW2, name="web.img"),
        ),
        ("vda,name=a=b", DiskRequest(target="vda", name="a=b")),
        ("vda,name=a,,b", DiskRequest(target="vda", name="a,b")),
        ("vda=a,,b,name=x", DiskRequest(target="vda", pool="a,b", name="x")),
        ("vda=a=b", DiskRequest(target="vda", pool="a=b")),
    ],
)
def test_a_disk_is_read(text: str, expected: DiskRequest) -> None:
    assert expected == parse.disk(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=fast",
        ",name=x",
        "vda=",
        "vda=,name=x",
        "vda,",
        "vda,name",
        "vda,name=",
        "vda,format=",
        "vda,format=vmdk",
        "vda,size=1G",
        "vda,name=a,name=b",
        "vda,name=a,b",
        "vda, name=a",
    ],
)
def test_what_is_no_disk_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse.disk(text)
    assert caught.value.remedy is not None


def doubled(text: str) -> str:
    return text.replace(",", ",,")


TEXTS = st.text(alphabet=st.characters(exclude_characters="\0"), min_size=1, max_size=20) | st.text(
    alphabet=",=a", min_size=1, max_size=12
)


@given(
    TEXTS.filter(lambda text: "=" not in text),
    st.none() | TEXTS,
    st.none() | TEXTS,
    st.none() | st.sampled_from(Format),
)
def test_any_name_can_be_said_with_its_commas_doubled(
    target: str, pool: str | None, name: str | None, format_: Format | None
) -> None:
    said = doubled(target)
    said += f"={doubled(pool)}" if pool is not None else ""
    said += f",format={format_}" if format_ is not None else ""
    said += f",name={doubled(name)}" if name is not None else ""
    # Three commas in a row are read as a pair and one: a part that ends in a comma can't be told from that.
    expected = DiskRequest(target=target, pool=pool, name=name, format=format_)
    assert expected == parse.disk(said)


@given(st.text(max_size=30))
def test_any_text_is_a_disk_or_a_usage_error(text: str) -> None:
    try:
        found: DiskRequest | UsageError = parse.disk(text)
    except UsageError as error:
        found = error
    assert found.text if isinstance(found, UsageError) else found.target
