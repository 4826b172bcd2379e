"""English as it is read out, table by table."""

from __future__ import annotations

import pytest

from engines.normalising import normalise


def said(text: str, language: str = "en") -> str:
    return normalise(text, language).text


def table(rows: str) -> list[tuple[str, str]]:
    pairs = (row.split(" => ") for row in rows.strip().splitlines())
    return [(written.strip(), spoken.strip()) for written, spoken in pairs]


NUMBERS = """
    I have 5 apples. => I have five apples.
    0 or 1? => zero or one?
    It took 21 days => It took twenty-one days
    1,234 people => one thousand two hundred and thirty-four people
    2,000,005 => two million and five
    pi is 3.14159 => pi is three point one four one five nine
    0.05 => zero point zero five
    It is -5 outside => It is minus five outside
    −7.5 => minus seven point five
    agent 007 => agent zero zero seven
    the 1st, 2nd and 33rd => the first, second and thirty-third
    1/2 cup and 3/4 spoon => one half cup and three quarters spoon
    2/3, 5/8 => two thirds, five eighths
    1 1/2 hours => one and one half hours
    2½ hours => two and one half hours
    ½ => one half
    5–7 => five to seven
    pages 10-15 => pages ten to fifteen
    1, 2, 3 => one, two, three
    1,2,3 => one,two,three
    a 5-year-old => a five-year-old
    version 3.11.2 => version three point eleven point two
    B2B and A4 => B two B and A four
    COVID-19 => Covid-nineteen
    24/7 => twenty-four seven
    10k users, 5M => ten thousand users, five million
    won 3:2 => won three to two
    100% => one hundred percent
    5.5 % of it => five point five percent of it
    5-10% => five to ten percent
    the 1990s and the 80s => the nineteen nineties and the eighties
    #5 and No. 6 => number five and number six
"""

MONEY = """
    $5.50 => five dollars and fifty cents
    $1 => one dollar
    $1.01 => one dollar and one cent
    $0.99 => ninety-nine cents
    $5.00 a day => five dollars a day
    €20 => twenty euros
    £3.50 => three pounds and fifty pence
    -$5 => minus five dollars
    $5.5 million => five point five million dollars
    $1.2B => one point two billion dollars
    $5-7 => five to seven dollars
    $5–$7 => five to seven dollars
    20 € => twenty euros
    100 USD => one hundred US dollars
    500 ₽ => five hundred roubles
    $5/month => five dollars per month
    It costs $45. => It costs forty-five dollars.
"""

DATES = """
    2026-11-21 => November twenty-first, twenty twenty-six
    on 11/21/2026 => on November twenty-first, twenty twenty-six
    21.11.2026 => November twenty-first, twenty twenty-six
    Nov 21 => November twenty-first
    Nov. 21, 2026 => November twenty-first, twenty twenty-six
    November 21st => November twenty-first
    21 November 2026 => the twenty-first of November, twenty twenty-six
    the 3rd of May => the third of May
    May 5-7 => May fifth to seventh
    March 2020 => March twenty twenty
    in 1999 => in nineteen ninety-nine
    since 2005, => since two thousand and five,
    1999 apples => one thousand nine hundred and ninety-nine apples
    in 1500 people => in one thousand five hundred people
    (1905) => (nineteen oh five)
    1914-1918 => nineteen fourteen to nineteen eighteen
    between 1990 and 1995 => between nineteen ninety and nineteen ninety-five
    at 14:05 => at fourteen oh five
    at 9:00 => at nine o'clock
    at 9:30 am => at nine thirty a m
    5 pm => five p m
    5:05 p.m. today => five oh five p m today
    9:00–17:30 => nine o'clock to seventeen thirty
    18:00 => eighteen hundred
    00:15 => zero fifteen
    12:30:15 => twelve thirty and fifteen seconds
    2026-13-45 => two thousand and twenty-six-thirteen-forty-five
"""

UNITS = """
    90 km/h => ninety kilometers per hour
    1 km => one kilometer
    5km => five kilometers
    20°C => twenty degrees Celsius
    -5 °F => minus five degrees Fahrenheit
    5 m² => five square meters
    6 ft => six feet
    1 ft => one foot
    5–7 km => five to seven kilometers
    2.5 GHz => two point five gigahertz
    16 GB of RAM => sixteen gigabytes of ram
    60 mph => sixty miles per hour
    45° => forty-five degrees
    5 kg. => five kilograms.
    10 min => ten minutes
    5 minutes => five minutes
    5 in the box => five in the box
"""

PHONES = """
    +1 (555) 123-4567 => plus one, five five five, one two three, four five six seven
    Call (555) 123-4567! => Call five five five, one two three, four five six seven!
    555-1234 => five five five, one two three four
    555-123-4567 => five five five, one two three, four five six seven
"""

WORDS = """
    Dr. Smith lives in Elm Dr. => Doctor Smith lives in Elm Drive.
    St. Paul, Main St. => Saint Paul, Main Street.
    Mr. and Mrs. Brown => Mister and Missus Brown
    e.g. this, i.e. that => for example this, that is that
    cats, dogs, etc. => cats, dogs, et cetera.
    cats, etc. and dogs => cats, et cetera and dogs
    No. It is not. => No. It is not.
    the U.S. and the U.K. => the U S and the U K.
    the USA, the UK => the U S A, the U K
    NASA and NATO => Nasa and Nato
    HTML and PDFs => H T M L and P D F's
    It is what it is. => It is what it is.
    STOP SHOUTING AT THE SHRD NOW => STOP SHOUTING AT THE SHRD NOW
    Henry VIII => Henry the eighth
    Louis XIV of France => Louis the fourteenth of France
    World War II => World War two
    Chapter IV => Chapter four
    the XIX century => the nineteenth century
    I am => I am
    Elizabeth I of England => Elizabeth the first of England
    Henry I think => Henry I think
    vitamin C => vitamin C
    MIX it => MIX it
    vs. them => versus them
    pp. 5-7 => pages five to seven
"""

MARKS = """
    **bold** and *italic* => bold and italic
    __bold__ and _italic_ => bold and italic
    `code` and ~~gone~~ => code and gone
    [a link](https://example.com/x) here => a link here
    ![a picture](x.png) => a picture
    snake_case_name => snake case name
    2*3*4 => two times three times four
    a * b => a times b
    me@example.com => me at example dot com
    see https://www.example.com/docs/a-page?x=1. => see example dot com slash docs slash a page.
    example.com is free => example dot com is free
    salt & pepper => salt and pepper
    R&D => R and D
    hi 😀 there => hi there
    hi😀there => hi there
    2 + 2 = 4 => two plus two equals four
    x ≤ 5 => x is at most five
    10 - 3 = 7 => ten minus three equals seven
    10 ÷ 2 => ten divided by two
    x² + y³ => x squared plus y cubed
    5 > 3 => five is greater than three
    a -> b => a — b
    @anna and #fun => at anna and hashtag fun
    he/she => he or she
    and/or => and or
    <b>bold</b> => bold
    a — b => a — b
    C++ => C plus plus
"""


@pytest.mark.parametrize(
    ("written", "spoken"),
    [row for each in (NUMBERS, MONEY, DATES, UNITS, PHONES, WORDS, MARKS) for row in table(each)],
)
def test_it_is_read_out(written: str, spoken: str) -> None:
    assert said(written).strip() == spoken


@pytest.mark.parametrize(
    ("language", "spoken"),
    [
        ("en", "March fourth, twenty twenty-six"),
        ("en-US", "March fourth, twenty twenty-six"),
        ("en-GB", "April third, twenty twenty-six"),
        ("en_AU", "April third, twenty twenty-six"),
    ],
)
def test_the_region_says_which_number_is_the_month(language: str, spoken: str) -> None:
    assert said("03/04/2026", language) == spoken


def test_what_is_too_long_for_a_number_is_read_digit_by_digit() -> None:
    assert said("1234567890" * 2) == " ".join([
        "one two three four five six seven eight nine zero"] * 2)  # fmt: skip
    assert said("999,999,999,999,999").startswith("nine hundred and ninety-nine trillion")


def test_lists_and_headings_end_like_sentences() -> None:
    text = "# Verbs\n- go 2 times\n- *run*!\n1. First\n\n> quoted\n```python\nx\n```\n---\nEnd"
    assert said(text) == (
        "Verbs.\ngo two times.\nrun!\none. First\n\nquoted.\n\nx\n\n\nEnd"
    )
