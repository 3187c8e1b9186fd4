"""Tables of sizes: every sort that is read, every sort that is refused."""

import datetime
import io
import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plasticity_jax.inference import hours, kaufman_2012, read_table, Table


SIZES = np.array([[1.25, 1.5, np.nan], [0.625, 0.75, 0.5], [2.0, np.nan, 2.25]])
NAMES, TIMES = ("a", "b", "c"), (0.0, 0.5, 1.5)
PLAIN = "1.25,1.5,NA\n0.625,.75,0.5\n2,,2.25e0\n"
WIDE = "synapse,0h,0.5h,1.5h\na,1.25,1.5,NA\nb,0.625,.75,0.5\nc,2,,2.25e0\n"
LONG = (
    "synapse,time_h,size\na,0,1.25\nb,0,0.625\nb,0.5,0.75\na,0.5,1.5\n"
    "c,0,2\nc,1.5,2.25\nb,1.5,0.5\n"
)
OF_HEAD = lambda head: WIDE.replace("synapse,0h,0.5h,1.5h", head)


def read(tmp_path, content, name="sizes.csv", **options):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **options)


def assert_same(table, names=NAMES, times=TIMES):
    np.testing.assert_array_equal(table.sizes, SIZES)
    np.testing.assert_array_equal(table.times, times)
    assert table.names == names


# --- what is read ---------------------------------------------------------------------


DECIMAL = OF_HEAD("synapse,0h,0,5h,1,5h").replace(",", ";").replace(".", ",")
DECIMAL = DECIMAL.replace("0;5h", "0,5h").replace("1;5h", "1,5h")
TEXTS = {
    "commas": WIDE,
    "tabs": WIDE.replace(",", "\t"),
    "semicolons": WIDE.replace(",", ";"),
    "bars": WIDE.replace(",", "|"),
    "spaces": WIDE.replace(",,", ",NaN,").replace(",", "  "),
    "padded": WIDE.replace(",", " , "),
    "decimal comma": DECIMAL,
    "decimal comma, tabs": DECIMAL.replace(";", "\t"),
    "byte-order mark": WIDE.encode("utf-8-sig"),
    "utf-16": WIDE.encode("utf-16"),
    "utf-16 big": b"\xfe\xff" + WIDE.encode("utf-16-be"),
    "utf-16 without mark": WIDE.encode("utf-16-le"),
    "latin-1": ("# sizes in µm³\n" + WIDE).encode("latin-1"),
    "crlf": WIDE.replace("\n", "\r\n"),
    "cr": WIDE.replace("\n", "\r"),
    "no last line end": WIDE.rstrip("\n"),
    "end of file": WIDE + "\x1a",
    "comments": "# by hand, twice\n  #, other\n\n" + WIDE.replace("b,", "# gone\nb,"),
    "blank lines": WIDE.replace("\n", "\n\n") + ",,,\n,,,\n",
    "trailing delimiters": WIDE.replace("\n", ",\n"),
    "trailing delimiters in rows": WIDE.replace("\n", ",\n").replace("5h,\n", "5h\n"),
    "leading delimiters": re.sub("^", ",", WIDE, flags=re.M),
    "separator of Excel": "sep=,\n" + WIDE,
    "quoted": re.sub(r"([^,\n]+)", r'"\1"', WIDE),
    "gaps": WIDE.replace("NA", "nan").replace(",,", ",n/a,"),
    "gaps of Excel": WIDE.replace("NA", "#N/A"),
    "time words": OF_HEAD("spine id,time 0 h,time 0.5 h,time 1.5 h"),
    "t=": OF_HEAD("Spine,t=0h,t=0.5h,t=1.5h"),
    "minutes": OF_HEAD("ROI,0 min,30 min,90 [min]"),
    "seconds": OF_HEAD(",0s,1800s,5400s"),
    "no corner": OF_HEAD("0h,0.5h,1.5h"),
    "days": OF_HEAD(f"x,day 0,day {0.5 / 24!r},day {1.5 / 24!r}"),
    "dates": OF_HEAD("x,2026-03-01 23:00,2026-03-01 23:30,2026-03-02 00:30"),
    "unit in the corner": OF_HEAD("time [h],0,0.5,1.5"),
    "row of units": OF_HEAD("synapse,0,0.5,1.5\n,h,h,h"),
    "row of units in brackets": OF_HEAD("synapse,0,0.5,1.5\nunit,[h],[h],[h]"),
    "row of units of sizes": OF_HEAD("synapse,0h,0.5h,1.5h\n,px,px,px"),
    "long": LONG,
    "long, other columns": LONG.replace("size\n", "volume (um^3)\n"),
    "long, minutes": "dendrite;Time [min];spine;volume\n"
    "1;0;a;1,25\n1;30;a;1,5\n2;0;b;0,625\n2;30;b;0,75\n2;90;b;0,5\n2;0;c;2\n2;90;c;2,25",
    "long, times with unit": re.sub(r"^(\w),([\d.]+),", r"\1,\2 h,", LONG, flags=re.M),
    "long, row of units": LONG.replace("time_h,size\n", "time,size\n,h,a.u.\n"),
    "long, gap": LONG + "a,1.5,NA\n",
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS.keys())
def test_every_sort_of_text_is_the_same_table(tmp_path, content):
    assert_same(read(tmp_path, content))


def numbers(head="", rows=PLAIN):
    return head + rows


OPTIONS = {
    "times": (PLAIN, {"times": [0, "30 min", 1.5]}),
    "byte-order mark": (PLAIN.encode("utf-8-sig"), {"times": TIMES}),
    "times, header": (numbers("t0,t1,t2\n"), {"times": TIMES}),
    "times again": (WIDE, {"times": TIMES}),
    "unit of times": (OF_HEAD("x,0,0.5,1.5"), {"time_unit": "h"}),
    "unit of sessions": (OF_HEAD("x,d0,d0.5,d1.5"), {"time_unit": "h"}),
    "unit of long times": (LONG.replace("_h", ""), {"time_unit": "h"}),
    "interval of frames": (
        LONG.replace("time_h", "frame")
        .replace("1.5,", "3,")
        .replace("0.5,", "1,")
        .replace("3,5", "1.5")
        .replace("a,1,1.5", "a,1,1.5"),
        {"interval": "30 min"},
    ),
    "zeros": (WIDE.replace("NA", "0").replace(",,", ",-0.5,"), {"zeros": "missing"}),
    "transpose": (
        "time_h,a,b,c\n0,1.25,0.625,2\n0.5,1.5,.75,\n1.5,,0.5,2.25\n",
        {"transpose": True},
    ),
    "no header": (PLAIN.replace("\n", ",\n"), {"header": False, "times": TIMES}),
    "header": (numbers("1,2,3\n"), {"header": True, "times": TIMES}),
    "decimal": (DECIMAL, {"decimal": ","}),
}


@pytest.mark.parametrize(("content", "options"), OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.filterwarnings("ignore:.*taken as missing:UserWarning")
def test_every_option_gives_the_same_table(tmp_path, content, options):
    table = read(tmp_path, content, **options)
    assert_same(table, names=table.names)
    assert table.names in (NAMES, ("1", "2", "3"))


@pytest.mark.parametrize(
    "head", ["", "0,1,2\n", "t0,t1,t2\n", "0,30,60\n", "0,0.5,1\n", "pre,post,late\n"]
)
@pytest.mark.parametrize("interval", [0.5, "0.5h", "30 min", "1800 s"])
def test_an_interval_makes_the_times(tmp_path, head, interval):
    table = read(tmp_path, head + PLAIN, interval=interval)
    assert_same(table, ("1", "2", "3"), (0.0, 0.5, 1.0))


def test_numbers_in_front_of_rows_are_names_and_it_says_so(tmp_path):
    rows = re.sub(r"^", "0", PLAIN, flags=re.M).split("\n")[:3]
    rows = [f"{i},{row[1:]}" for i, row in enumerate(rows, 1)]
    with pytest.warns(UserWarning, match="taken for their names"):
        assert_same(read(tmp_path, "\n".join(rows), times=TIMES), ("1", "2", "3"))


def test_words_that_head_columns_may_begin_names(tmp_path):
    rows = "spine a,1,2,1\nspine b,2,1,1\n"
    assert read(tmp_path, rows, interval=1).names == ("spine a", "spine b")


def test_units_of_sizes_are_kept(tmp_path):
    head = "synapse,0h,0.5h,1.5h\n,um^3,um^3,um^3"
    assert read(tmp_path, OF_HEAD(head)).unit == "um^3"
    assert read(tmp_path, LONG.replace(",size", ",size [fL]")).unit == "fL"
    assert read(tmp_path, LONG).unit == "a.u."
    assert read(tmp_path, WIDE, unit="px").unit == "px"


# --- what is refused ------------------------------------------------------------------


HALF = {"interval": 0.5}
BAD = {
    "empty": ("", {}, "empty"),
    "nothing but comments": ("# a\n# b\n", {}, "lines begin with #"),
    "header only": ("synapse,0h,1h\n", {}, "no rows"),
    "text": (
        WIDE.replace(".75", "high"),
        {},
        r"row 2 \('b'\), column 3 \('0.5h'\): 'hi",
    ),
    "text, no header": (
        PLAIN.replace(".75", "x"),
        HALF,
        "row 2, column 2: 'x' is no n",
    ),
    "text in row 1": (PLAIN.replace("1.5", "x"), HALF, "row 1, column 2: 'x' is no n"),
    "text, long": (LONG.replace("1.5\n", "x\n"), {}, "row 4, column 3: 'x' is no num"),
    "underscore": (
        WIDE.replace(".75", "1_0"),
        {},
        "row 2.*column 3.*'1_0' is no number",
    ),
    "other digits": (WIDE.replace(".75", "١"), {}, "row 2.*column 3.*is no number"),
    "infinite": (WIDE.replace(".75", "inf"), {}, "row 2.*column 3.*infinite"),
    "minus infinite": (WIDE.replace(".75", "-Infinity"), {}, "row 2.*infinite"),
    "huge": (WIDE.replace(".75", "1e101"), {}, "row 2.*column 3.*1e101.*1e100"),
    "overflow": (WIDE.replace(".75", "1e999"), {}, "row 2.*column 3.*1e100"),
    "zero": (
        WIDE.replace(".75", "0"),
        {},
        "row 2.*column 3.*positive; got 0; .*--zeros",
    ),
    "negative": (WIDE.replace(".75", "-.75"), {}, "row 2.*column 3.*got -.75.*missing"),
    "zero, long": (LONG.replace("1.5\n", "0\n"), {}, "row 4, column 3.*positive"),
    "short row": (WIDE.replace(",.75", ""), {}, "row 2 has 3 cells, the header has 4"),
    "long row": (PLAIN.replace(".75", "1,2"), HALF, "row 2 has 4 cells, row 1 has 3"),
    "repeated name": (WIDE.replace("c,", "a,"), {}, "rows 1 and 3 are both 'a'"),
    "no name": (
        WIDE.replace("b,", ","),
        {},
        "row 2, column 1: the synapse has no name",
    ),
    "no name, long": (
        LONG.replace("\na,0.5", "\n,0.5"),
        {},
        "row 4, column 1: the syn",
    ),
    "repeated time": (OF_HEAD("s,0h,30min,0.5h"), {}, "column 4 .* repeats the time"),
    "repeated label": (OF_HEAD("s,t0,t1,t1"), HALF, "columns 3 and 4 are both 't1'"),
    "repeated size": (LONG + "a,0.5,3\n", {}, "row 8 repeats row 4: 'a' at 0.5 h"),
    "unsorted": (OF_HEAD("s,0h,2h,1h"), {}, "column 4 .'1h'. is earlier.*increase"),
    "unsorted times": (
        PLAIN,
        {"times": [0, 2, 1]},
        "`times` must increase; time 3 is 1",
    ),
    "one time": ("synapse,0h\na,1\nb,2\n", {}, "one time only"),
    "one column": ("1.5\n2.5\n", HALF, "one time only"),
    "one time, long": ("synapse,time_h,size\na,0,1\nb,0,2\n", {}, "at 1 times"),
    "constant": ("1,1,1\n2,2,2\n", HALF, "no synapse changes"),
    "all missing": ("synapse,0h,1h\na,NA,\nb,,NA\n", {}, "no synapse is ever seen"),
    "no times": (PLAIN, {}, "times are not known.*0.5h"),
    "no unit": (OF_HEAD("synapse,0,0.5,1.5"), {}, "times are not known.*0.5h"),
    "no unit, long": (
        LONG.replace("_h", ""),
        {},
        "row 1, column 2: '0' is no time with",
    ),
    "no interval, long": (
        LONG.replace("time_h", "frame"),
        {},
        "'0' is no time.*interval",
    ),
    "some units": (
        OF_HEAD("s,0h,0.5,1.5h"),
        {},
        r"column 3 \('0.5'\) has no time with a",
    ),
    "stray column": (
        OF_HEAD("s,0h,0.5h,mean"),
        {},
        r"column 4 \('mean'\) has no time wi",
    ),
    "other interval": (WIDE, HALF, "times .0, 0.5, 1.5, ... h. are not those"),
    "a session is missing": (
        numbers("t0,t1,t3\n"),
        HALF,
        "not numbered as times 0.5 h",
    ),
    "other step": (numbers("0,2,4\n"), HALF, "not numbered as times 0.5 h apart"),
    "too few times": (PLAIN, {"times": [0, 1]}, "each of 3 times; got 2"),
    "times, long": (LONG, {"times": TIMES}, "`times` is for columns"),
    "which size": (LONG.replace("size", "x,y").replace("\n", ",1\n"), {}, "row"),
    "page": ("<!DOCTYPE html><html>404</html>", HALF, "web page"),
    "xml": ("\n<?xml version='1.0'?>", HALF, "web page"),
    "zip": (b"PK\x03\x04abcdefgh", HALF, "zip archive, or an Excel workbook.*.xlsx"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", HALF, "old Excel workbook"),
    "gzip": (b"\x1f\x8b\x08\x00\x00", HALF, "compressed"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", HALF, "HDF5"),
    "parquet": (b"PAR1abcd", HALF, "Parquet file: name it"),
    "binary": (bytes(range(256)), HALF, "binary"),
    "nul": (PLAIN.encode() + b"\0", HALF, "binary"),
    "quotes": ('1,"2,3\n4,5,6\n', HALF, "quotation marks"),
    "transposed": ("time_h,a,b\n0,1,2\n1,1,3\n", {}, "first column.*--transpose"),
    "transposed, numbers": (
        "time_h,1,2\n0,1,2\n1,1,3\n",
        {},
        "first column.*transpose",
    ),
    "transposed, units": ("t,a,b\n0h,1,2\n1h,1,3\n", {}, "first column.*transpose"),
    "transposed, no header": (
        "0,1,2\n0.5,1,3\n1,2,2\n1.5,1,1\n",
        {**HALF, "header": False},
        "first column",
    ),
    "header or a zero": (OF_HEAD("x,0,1,3"), HALF, "first row may be.*--header"),
    "transposed, no corner": (
        ",0,1,2\n0,1,2,3\n0.5,1,3,2\n",
        HALF,
        "first column.*--tr",
    ),
    "names or sizes": ("7,1.5\n9,1.25\n8,1.75\n", HALF, "first column may be names"),
    "header or sizes": ("a,1,2,3,4\nb,2,3,4,6\n", HALF, "first row may be.*--header"),
    "decimal commas": ("1,05,1,15\n1,25,1,35\n", HALF, "commas stand.*'05'"),
    "decimal commas, header": ("s,0h,1h\na,1,05,1,15\n", {}, "commas stand.*'05'"),
    "decimal commas, row": ("s,0h,1h\na,1,5,1,6\n", {}, "row 1 has 5 .*decimal commas"),
    "commas, asked": (PLAIN, {**HALF, "decimal": ","}, "commas stand between"),
    "thousands": (
        "1,250;1,500\n2,250;2,500\n",
        HALF,
        "'1,500' may have a decimal comma",
    ),
    "commas and points": ("1,25;1.5\n2,5;2,5\n", HALF, "commas and points"),
    "comma, refused": (
        "1,25;1,5\n2;3\n4;5\n",
        {**HALF, "decimal": "."},
        "'1,25' is no number",
    ),
    "no interval": (PLAIN, {"interval": "0.5"}, "'0.5' is no time with a unit"),
    "interval of 0": (
        PLAIN,
        {"interval": "0h"},
        "`interval` must be positive; got '0h'",
    ),
    "unknown unit": (PLAIN, {"time_unit": "m"}, "`time_unit` must be s, min"),
    "unknown zeros": (PLAIN, {"zeros": "drop"}, "`zeros` is unknown.*refuse, missing"),
    "part of text": (PLAIN, {"part": "a"}, "`part` names a sheet"),
}


@pytest.mark.parametrize(("content", "options", "says"), BAD.values(), ids=BAD.keys())
def test_a_bad_table_is_refused_in_one_line(tmp_path, content, options, says):
    with pytest.raises(ValueError, match=says) as error:
        read(tmp_path, content, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet", "a.pq", "a.nwb"])
def test_text_under_another_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"named as an? .*, and is none"):
        read(tmp_path, WIDE, name)


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        read_table(tmp_path / "nowhere.csv")


ODD = {
    "one": ("s,0h,1h,2h\na,1,2,1\n", "one synapse only"),
    "never": (WIDE + "d,,,\n", "never seen: 'd'"),
    "constant": (WIDE + "d,1,1,1\n", "constant: 'd'"),
    "copies": (WIDE + "d,1.25,1.5,\n", "same sizes as a synapse above: 'd'"),
    "zeros": (WIDE.replace("NA", "0"), "0 or below are taken as missing: 1"),
}


@pytest.mark.parametrize(("content", "says"), ODD.values(), ids=ODD.keys())
def test_what_is_odd_is_read_with_a_warning(tmp_path, content, says):
    with pytest.warns(UserWarning, match=says) as told:
        table = read(tmp_path, content, zeros="missing")
    assert len(told) == 1
    assert table.sizes.shape == (content.count("\n") - 1, 3)


def test_rows_and_columns_that_are_likely_swapped_are_told(tmp_path):
    table = kaufman_2012()
    content = io.BytesIO()
    np.savetxt(content, np.asarray(table.sizes[:60]).T)
    with pytest.warns(UserWarning, match="rows must be synapses"):
        read(tmp_path, content.getvalue(), interval="0.5h")


# --- the other formats ----------------------------------------------------------------


def test_without_its_library_a_file_says_what_to_install(tmp_path, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.import_module", absent)
    starts = {"a.xlsx": b"PK\x03\x04", "a.parquet": b"PAR1", "a.nwb": b"\x89HDF"}
    for name, start in starts.items():
        with pytest.raises(ValueError, match=r'pip install "plasticity-jax\[tables\]"'):
            read(tmp_path, start, name)


def test_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = dict(zip(("0h", "0.5h", "1.5h"), SIZES.T, strict=True))
    path = tmp_path / "sizes.parquet"
    parquet.write_table(arrow.table({"synapse": NAMES, **columns}), path)
    assert_same(read_table(path))
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(columns, index=list(NAMES))
    frame.to_parquet(path)
    assert_same(read_table(path))
    sizes = frame.stack().rename("size").rename_axis(["synapse", "time"])
    sizes.to_frame().to_parquet(path)
    assert_same(read_table(path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="damaged Parquet"):
        read_table(path)


def test_excel(tmp_path):
    excel = pytest.importorskip("openpyxl")
    path = tmp_path / "sizes.xlsx"
    book = excel.Workbook()
    book.active.title = "raw"
    rows = [[None if np.isnan(x) else x for x in row] for row in SIZES.tolist()]
    book.active.append(["synapse", "0h", "0.5h", "1.5h"])
    for name, row in zip(NAMES, rows, strict=True):
        book.active.append([name, *row])
    book.create_sheet("empty")
    book.save(path)
    assert_same(read_table(path))
    other = book.create_sheet("other")
    other.append([1.0, 2.0])
    other.append([2.0, "=A1+1"])
    book.save(path)
    assert_same(read_table(path, part="raw"))
    for options, says in (
        ({}, "`part` must name one; it has 'raw', 'other'"),
        ({"part": "Raw"}, "'Raw'. Did you mean 'raw'"),
        ({"part": "other"}, "formula in row 2, column 2 of sheet 'other' was never"),
    ):
        with pytest.raises(ValueError, match=says):
            read_table(path, **options)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="damaged workbook"):
        read_table(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nwb(tmp_path):
    nwb = pytest.importorskip("pynwb")
    from pynwb import ophys

    start = datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC)
    file = nwb.NWBFile("sizes", "test", start)
    light = ophys.OpticalChannel(name="light", description="green", emission_lambda=5e2)
    plane = file.create_imaging_plane(
        name="plane",
        optical_channel=light,
        description="dendrite",
        device=file.create_device(name="microscope"),
        excitation_lambda=9e2,
        indicator="GFP",
        location="V1",
    )
    images, traces = ophys.ImageSegmentation(), ophys.Fluorescence()
    module = file.create_processing_module("ophys", "synapses")
    module.add([images, traces])
    found = images.create_plane_segmentation("spines", plane, name="regions")
    for number in (7, 8, 9):
        found.add_roi(image_mask=np.ones((2, 2)), id=number)
    regions = found.create_roi_table_region(region=[0, 1, 2], description="all")
    known = {"data": SIZES.T * 1e6, "unit": "um^3", "conversion": 1e-6}
    traces.create_roi_response_series(
        name="sizes", rois=regions, timestamps=[0.0, 1800.0, 5400.0], **known
    )
    path = tmp_path / "sizes.nwb"
    with nwb.NWBHDF5IO(path, "w") as disk:
        disk.write(file)
    table = read_table(path)
    np.testing.assert_allclose(table.sizes, SIZES, rtol=1e-15)
    np.testing.assert_array_equal(table.times, TIMES)
    assert (table.names, table.unit) == (("7", "8", "9"), "um^3")
    file.add_acquisition(nwb.TimeSeries(name="again", rate=1 / 1800, **known))
    with nwb.NWBHDF5IO(path, "w") as disk:
        disk.write(file)
    with pytest.raises(ValueError, match="`part` must name one; it has 'sizes', 'ag"):
        read_table(path)
    again = read_table(path, part="again")
    np.testing.assert_allclose(again.times, [0.0, 0.5, 1.0], rtol=1e-12)
    assert again.names == ("1", "2", "3")


# --- any table, any cells -------------------------------------------------------------


@st.composite
def tables(draw):
    shape = draw(st.tuples(st.integers(2, 5), st.integers(2, 6)))
    size = st.one_of(st.floats(1e-300, 1e100), st.just(np.nan), st.integers(1, 9))
    sizes = draw(hnp.arrays(float, shape, elements=size))
    hypothesis.assume(any(len(set(row[~np.isnan(row)])) > 1 for row in sizes))
    words = st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1)
    words = words.map(lambda word: f"x{word}")
    names = draw(st.lists(words, min_size=len(sizes), max_size=len(sizes), unique=True))
    hour = st.floats(0, 1e4).map(lambda x: round(x, 3))
    times = draw(st.lists(hour, min_size=shape[1], max_size=shape[1], unique=True))
    return sizes, tuple(names), sorted(times)


@hypothesis.given(table=tables(), mark=st.sampled_from("\t;,|"), long=st.booleans())
@hypothesis.settings(deadline=None, max_examples=50, derandomize=True)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_table_that_is_written_is_read_back(tmp_path_factory, table, mark, long):
    sizes, names, times = table
    if long:
        rows = [["synapse", "time_h", "size"]]
        for name, row in zip(names, sizes.tolist(), strict=True):
            rows += [[name, *map(repr, x)] for x in zip(times, row, strict=True)]
    else:
        rows = [["synapse", *(f"{time!r} h" for time in times)]]
        rows += [[a, *map(repr, x)] for a, x in zip(names, sizes.tolist(), strict=True)]
    content = "\n".join(mark.join(row) for row in rows)
    again = read(tmp_path_factory.getbasetemp(), content, "any.csv")
    np.testing.assert_array_equal(again.sizes, sizes)
    np.testing.assert_array_equal(again.times, times)
    assert again.names == names


CELLS = ["", "1", "2.5", "-1", "0", "inf", "1e999", "NA", "x", "0h", "1 h", "t0", "1,5"]
CELLS += ["synapse", "time_h", "size", "frame", '"', "#", "[h]", "2026-01-01", "µ", "3"]
ROWS = st.lists(st.lists(st.sampled_from(CELLS), min_size=1, max_size=4), max_size=5)


@hypothesis.given(rows=ROWS, mark=st.sampled_from("\t;, "), odd=st.binary(max_size=3))
@hypothesis.settings(deadline=None, max_examples=300, derandomize=True)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_any_cells_are_a_table_or_refused_in_one_line(
    tmp_path_factory, rows, mark, odd
):
    content = "\n".join(mark.join(row) for row in rows).encode() + odd
    sizes, refusal = np.ones(1), "any.csv: "
    try:
        table = read(tmp_path_factory.getbasetemp(), content, "any.csv", interval="1h")
        sizes = np.asarray(table.sizes)
    except ValueError as error:
        refusal = str(error)
    assert np.all(np.isnan(sizes) | ((sizes > 0) & (sizes <= 1e100)))
    assert "any.csv: " in refusal
    assert "\n" not in refusal


# --- times with their unit ------------------------------------------------------------


def test_hours():
    said = (
        "0.5h",
        "30 min",
        "1d",
        "1 week",
        "1800 s",
        "2 hrs",
        ".5 H",
        "1e1h",
        "day 2",
    )
    meant = [0.5, 0.5, 24.0, 168.0, 0.5, 2.0, 0.5, 10.0, 48.0]
    assert [hours(time) for time in said] == meant
    assert [hours(3), hours(0.25)] == [3.0, 0.25]
    for text in ("0.5", "h", "", "1m", "1 month", "0,5h", "nan h", "infh", "1e999h"):
        with pytest.raises(ValueError, match=r"no time with a unit, such as 0\.5h"):
            hours(text)
    for number in (True, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite number of hours"):
            hours(number)


# --- a table --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sizes": SIZES[0]}, r"shaped \(synapse, time\)"),
        ({"times": TIMES[:2]}, r"shaped .*got \(3, 3\) and \(2,\)"),
        ({"sizes": np.ones((0, 3)), "names": ()}, "at least; got 0 synapses"),
        ({"sizes": np.ones((3, 1)), "times": [0.0]}, "got 3 synapses at 1 times"),
        ({"names": "ab"}, "name each of 3 synapses; got 2"),
        ({"names": "aba"}, "rows 1 and 3 are both 'a'"),
        ({"times": [0.0, np.nan, 1.0]}, "`times` must be finite"),
        ({"times": [0.0, 1.0, 1.0]}, "must increase; time 3 is 1 h, after 1 h"),
        ({"sizes": -SIZES}, r"positive.*got -1\.25 in row 1, column 1"),
        (
            {"sizes": np.where(SIZES == 0.5, np.inf, SIZES)},
            "got inf in row 2, column 3",
        ),
        ({"sizes": SIZES * np.nan}, "no synapse is ever seen"),
        ({"sizes": np.ones((3, 3))}, "no synapse changes"),
    ],
)
def test_a_table_refuses_what_is_none(change, says):
    with pytest.raises(ValueError, match=says):
        Table(**{"sizes": SIZES, "times": TIMES, "names": NAMES, **change})


def test_parts_of_a_table():
    table = Table(SIZES, TIMES, NAMES)
    none = np.nan
    seen = Table([[none, 1, 2], [none, none, 1], [none] * 3, [1, none, none]], TIMES)
    assert [x.tolist() for x in seen.spans()] == [[1, 2, 0, 0], [2, 2, -1, 0]]
    thin = table.thinned(2)
    np.testing.assert_array_equal(thin.sizes, SIZES[:, ::2])
    assert (thin.times.tolist(), thin.names) == ([0.0, 1.5], NAMES)
    assert kaufman_2012().thinned(5, 3).times[:2].tolist() == [1.5, 4.0]
    some = table.of([2, 0])
    np.testing.assert_array_equal(some.sizes, SIZES[[2, 0]])
    assert some.names == ("c", "a")
    for wrong in ([3], [-1], [0.5], 1, [], [1, 1]):
        with pytest.raises(ValueError, match=r"`indices`|both 'b'"):
            table.of(wrong)
    with pytest.raises(ValueError, match="at 1 times"):
        table.thinned(3)
    with pytest.raises(ValueError, match="`every` must be at least 1"):
        table.thinned(0)


def test_simulated_sizes_take_the_gaps_and_may_be_mapped():
    table = Table(SIZES, TIMES, NAMES)
    mean = jax.jit(jax.vmap(lambda x: jnp.nanmean(table.with_sizes(x).sizes)))
    many = jnp.stack([jnp.full((3, 3), 2.0), jnp.full((3, 3), -1.0)])
    assert mean(many).tolist() == [2.0, -1.0]
    other = table.with_sizes(many[0])
    assert jax.tree.structure(other) == jax.tree.structure(table)
    np.testing.assert_array_equal(np.isnan(other.sizes), np.isnan(SIZES))
    with pytest.raises(ValueError, match=r"shaped \(3, 3\); got \(2, 3\)"):
        table.with_sizes(many[0][:2])
    made = jax.jit(lambda sizes: Table(sizes, TIMES, NAMES))(jnp.asarray(SIZES))
    np.testing.assert_array_equal(made.sizes, SIZES)
