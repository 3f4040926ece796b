"""Tables of variables as programs of the field write them, sound and odd: what ways there are to give them.

A `TableWay` says in words how a table is given; `made_tables.make_table` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

# Numbers that rasters, netCDF and PLINK have where there is no value, as they arrive in tables.
FILL_VALUES = (
    "-9999", "-9999.0", "-99999", "-32768", "-3.4e38", "-3.4028234663852886e+38", "-3.402823e+38",
    "9.969209968386869e+36", "1e20", "1e+20", "-1.7976931348623157e+308",
)  # fmt: skip
KNOWN_WORDS = ("NA", "nan", "NaN", "na")
OTHER_WORDS = ("#N/A", "NULL", "None", "n/a", "N/A", "<NA>", ".", "-", "null", "missing", "#DIV/0!", "-nan", "1.#QNAN")
CATEGORY_CODES = (11.0, 21.0, 41.0)
N_OTHERS = 7  # rows of no sample
N_ABSENT = 3  # samples without a row


@dataclass(frozen=True)
class Oddity:
    """A way in which a table is not plain.

    Attributes
    ----------
    pattern : str
        What an error or a warning about it says, as a regular expression.
    is_sound : bool
        True if the right answer must come out. Otherwise an error, or a warning beside another answer, is right too.
    """

    pattern: str
    is_sound: bool = False


IDS = r"\bI?IDs?\b|\bindex\b|row numbers|no row|no name"
MISSING = r"missing|no value|fill|nodata"
ODDITIES = {
    # which row belongs to whom
    "row numbers of R in front": Oddity(IDS),
    "row numbers of R in front, with gaps": Oddity(IDS),
    "row numbers of pandas in front": Oddity(IDS),
    "OBJECTID in front": Oddity(IDS),
    "FID of a shapefile in front": Oddity(IDS + "|FID"),
    "row names of write.table": Oddity(IDS + r"|write.csv|cell\(s\)"),
    "IDs in a later column": Oddity(IDS),
    "IDs of partners in front": Oddity(IDS + "|partner"),
    "index that counts rows": Oddity(IDS),
    "index that counts rows, in another order": Oddity(IDS),
    "index that counts rows, with gaps": Oddity(IDS),
    "index that counts rows, and no IDs": Oddity(IDS),
    "IDs in a column without a name": Oddity(IDS),
    "a row without an ID": Oddity(IDS + r"|cell\(s\)"),
    "index of floats": Oddity(IDS),
    "IIDs that need FIDs": Oddity("FID|repeated"),
    "decorated IDs": Oddity("ID|would match|no row"),
    "half of the IDs decorated": Oddity("ID|would match|no row|K = 2 with|samples for"),
    "rows of others": Oddity("row|not in|not there", is_sound=True),
    "samples without a row": Oddity("no row|lack|absent|without|not there|not in"),
    "a row twice": Oddity("repeated|twice|same"),
    "two rows of a sample": Oddity("repeated|twice"),
    "no header": Oddity("header|no column|column name|names? of (the )?columns|is a number|repeated"),
    "a column twice": Oddity("repeated|twice"),
    # numbers that mean nothing
    "a word for missing": Oddity(MISSING, is_sound=True),
    "another word for missing": Oddity(MISSING + "|not a number"),
    "a fill value": Oddity(MISSING),
    "a fill value, named": Oddity(MISSING, is_sound=True),
    "-9 in a PLINK table": Oddity(MISSING),
    "a masked value": Oddity(MISSING, is_sound=True),
    "decimal commas": Oddity("decimal|not a number|;|cell"),
    "minus of Unicode": Oddity("not a number|minus"),
    # categories
    "classes in words": Oddity("categor|not a number|not numbers|words"),
    "classes as a pandas Categorical": Oddity("categor|not a number|not numbers|words"),
    "classes in codes": Oddity("categor|code|class|whole numbers"),
    "truth values": Oddity("categor|True|bool|not numbers"),
}
IN_FRONT = tuple(name for name in ODDITIES if "front" in name or name == "row names of write.table")
COUNTING = tuple(name for name in ODDITIES if name.startswith("index that counts"))
CATEGORIES = ("classes in words", "classes as a pandas Categorical", "classes in codes", "truth values")


@dataclass(frozen=True)
class TableWay:
    """How a table is given.

    Attributes
    ----------
    container : str
        "CSV", "TSV", "blanks", "frame", "series", "pyarrow", "array" or "masked array".
    id_name : str
        Name of the column of IDs, or of the index; "FID IID" for two.
    order : str
        Order of the rows: "fam", "shuffled" or "sorted" by ID.
    oddities : tuple of str
        Keys of `ODDITIES`.
    word : str
        The text in cells that are missing.
    n_holes : int
        The number of such cells.
    decoration : str
        Key of `DECORATIONS`.
    style : str
        How cells and lines of a file are written: "plain", "quoted", "padded" with blanks, or "Windows"; the types of
        a frame: "plain", "nullable", or "category" for IDs.
    beside : bool
        True if the table has columns beside the variables: a text and coordinates.
    """

    container: str = "CSV"
    id_name: str = "ID"
    order: str = "fam"
    oddities: tuple[str, ...] = ()
    word: str = ""
    n_holes: int = 2
    decoration: str = ""
    style: str = "plain"
    beside: bool = False

    def has(self, *oddities: str) -> bool:
        return any(name in self.oddities for name in oddities)


DECORATIONS = {
    "FID_IID": lambda fid, iid: f"{fid}_{iid}",
    "IID_IID": lambda fid, iid: f"{iid}_{iid}",
    ".bam": lambda fid, iid: f"{iid}.bam",
    "X": lambda fid, iid: f"X{iid}",
    ".0": lambda fid, iid: f"{iid}.0",
    "capitals": lambda fid, iid: iid.upper() if iid.upper() != iid else iid.lower() + "a",
    "zeros": lambda fid, iid: iid.zfill(5),
    "zeros lost": lambda fid, iid: str(int(iid)),
    "no-break space": lambda fid, iid: f"{iid[:1]}\u00a0{iid[1:] or 1}",
    "one more": lambda fid, iid: f"{iid}x",
}
FILES = {"CSV": ",", "TSV": "\t", "blanks": " "}
STYLES = {
    "CSV": ("plain", "quoted", "padded", "Windows"),
    "TSV": ("plain", "quoted", "padded", "Windows"),
    "blanks": ("plain", "quoted", "Windows"),
    "frame": ("plain", "nullable", "category"),
}
ARRAYS = ("array", "masked array", "list")
CONTAINERS = ("CSV", "CSV", "TSV", "blanks", "frame", "frame", "series", "pyarrow", "array", "masked array", "list")
# What each container can have of the oddities.
OF_TABLES = (
    "decorated IDs", "half of the IDs decorated", "rows of others", "samples without a row", "a row twice",
    "two rows of a sample", "a row without an ID", "IDs in a later column", "IDs of partners in front",
)  # fmt: skip
OF_VALUES = ("a word for missing", "a fill value", "a fill value, named")
OF_FILES = (
    *OF_TABLES, *OF_VALUES, *(name for name in IN_FRONT if name != "row names of write.table"),
    "row names of write.table", "another word for missing", "-9 in a PLINK table", "classes in words",
    "classes in codes", "no header", "a column twice", "decimal commas", "minus of Unicode",
    "IDs in a column without a name", "IIDs that need FIDs",
)  # fmt: skip
OF_CONTAINERS = {
    "CSV": OF_FILES,
    "TSV": OF_FILES,
    "blanks": OF_FILES,
    "frame": (
        *OF_TABLES,
        *OF_VALUES,
        *COUNTING,
        *CATEGORIES,
        "index of floats",
        "another word for missing",
        "IDs in a column without a name",
        "IIDs that need FIDs",
    ),
    "series": (*OF_TABLES[:-2], *OF_VALUES, "index of floats", "index that counts rows, and no IDs"),
    "pyarrow": (*OF_TABLES, *OF_VALUES, "another word for missing"),
    "array": OF_VALUES,
    "list": OF_VALUES,
    "masked array": ("a masked value", *OF_VALUES[1:]),
}
# Oddities that exclude each other: at most one of each group.
GROUPS = (
    (
        *IN_FRONT, *COUNTING, "index of floats", "IDs in a later column", "IDs of partners in front", "no header",
        "IDs in a column without a name",
    ),
    ("decorated IDs", "half of the IDs decorated"),
    ("a row twice", "two rows of a sample"),
    (
        *OF_VALUES, "another word for missing", "-9 in a PLINK table", "a masked value", "decimal commas",
        "minus of Unicode", *CATEGORIES,
    ),
)  # fmt: skip


@st.composite
def table_ways(
    draw: Any,
    kinds: tuple[str, ...],
    *,
    numeric_ids: bool,
    families: bool,
    most: int = 2,
    containers: tuple[str, ...] = CONTAINERS,
    beside: bool = True,
) -> TableWay:
    """Draw a way to give a table, with at most so many oddities of these kinds."""
    container = draw(st.sampled_from(containers))
    possible = [name for name in kinds if name in OF_CONTAINERS[container]]
    oddities: list[str] = []
    for _ in range(draw(st.integers(0, most)) if possible else 0):
        name = draw(st.sampled_from(possible))
        if not any(name in group and set(group) & set(oddities) for group in GROUPS) and name not in oddities:
            oddities.append(name)
    if "index of floats" in oddities and not numeric_ids:
        oddities.remove("index of floats")
    if "index that counts rows, and no IDs" in oddities:
        oddities = [name for name in oddities if name not in OF_TABLES]
    names = ["ID", "sample", "IID", "#IID", "individual", "FID IID"]
    if set(oddities) & {*IN_FRONT, *COUNTING, "IDs in a later column", "index of floats"} or container == "series":
        names = ["ID", "sample", "individual", "Sample_ID"]
    if "-9 in a PLINK table" in oddities or (families and container not in ("array", "masked array")):
        names = ["FID IID"]
    if (families and set(oddities) & {*IN_FRONT, *COUNTING}) or (families and container == "series"):
        oddities, names = [name for name in oddities if name not in (*IN_FRONT, *COUNTING)], ["FID IID"]
    fill = [name for name in oddities if name.startswith("a fill value")]
    word = ""
    if fill:
        word = draw(st.sampled_from(FILL_VALUES))
    elif "a word for missing" in oddities:
        word = draw(st.sampled_from(KNOWN_WORDS))
    elif "another word for missing" in oddities:
        word = draw(st.sampled_from([w for w in OTHER_WORDS if container != "blanks" or " " not in w]))
    decorations = [name for name in DECORATIONS if numeric_ids or name not in (".0", "X", "zeros", "zeros lost")]
    return TableWay(
        container=container,
        id_name=draw(st.sampled_from(names)),
        order=draw(st.sampled_from(["shuffled", "sorted", "fam"])),
        oddities=tuple(oddities),
        word=word,
        n_holes=draw(st.sampled_from([1, 2, 6])) if word else 2,
        decoration=draw(st.sampled_from(decorations)) if {"decorated IDs", GROUPS[1][1]} & set(oddities) else "",
        style=draw(st.sampled_from(STYLES.get(container, ("plain",)))),
        beside=beside and container in ("CSV", "TSV", "frame") and draw(st.booleans()),
    )
