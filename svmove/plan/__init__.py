"""Pure planning: inventory + policy + request → Plan. No I/O, and no clock but the time handed in."""
