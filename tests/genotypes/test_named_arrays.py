"""Arrays with names of every kind: names, places and t are those of the same DataFrame, and each is a sound source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse

import lfmm2
from lfmm2.errors import InconsistentInputError, InputWarning, LfmmError, MalformedInputError, ReadError, UsageError
from lfmm2.genotypes import open_source
from lfmm2.genotypes.stored_arrays import MOST_SLAB_BYTES, StoredArray
from lfmm2.testing import check_genotype_source

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")

N, P = 26, 320
RNG = np.random.default_rng(5)
BETAS = RNG.beta(2, 5, (N, P))
BETAS[RNG.random((N, P)) < 0.01] = np.nan
BETAS[:, 9] = np.nan
IDS = [f"s{i:02d}" for i in RNG.permutation(N)]
CPGS = [f"cg{j:05d}" for j in RNG.permutation(P)]
FRAME = pd.DataFrame(BETAS, IDS, CPGS)
MANIFEST = pd.DataFrame({"CHR": ["7"] * 100 + ["X"] * 219 + [None], "MAPINFO": [np.nan, *range(2, P + 1)]}, CPGS)
PHENO = pd.DataFrame({"age": RNG.normal(50, 9, N)}, IDS).sample(frac=1, random_state=1)


def expected() -> lfmm2.AssociationResult:
    return lfmm2.run(None, BETAS, PHENO.loc[IDS, "age"].to_numpy(), 2)


def anndata(X: Any = BETAS, **options: Any) -> Any:
    module = pytest.importorskip("anndata")
    return module.AnnData(X, obs=pd.DataFrame({"sex": ["F"] * N}, IDS), var=MANIFEST.copy(), **options)


def layered() -> Any:
    data = anndata(None)
    data.layers["betas"] = BETAS
    return lfmm2.named_array(data, layer="betas")


def polars() -> Any:
    return pytest.importorskip("polars").from_pandas(FRAME.reset_index(names="sample"))


def labelled(turned: bool = False, lazy: bool = False) -> Any:
    places = {"chrom": ("cpgs", MANIFEST["CHR"].astype(object)), "position": ("cpgs", MANIFEST["MAPINFO"])}
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(BETAS, dims=("samples", "cpgs"), coords={"samples": IDS, "cpgs": CPGS, **places})
    if lazy:
        pytest.importorskip("dask")
        array = array.chunk({"cpgs": 50, "samples": 7})
    return array.T if turned else array


def named(values: Any) -> Any:
    return lfmm2.named_array(values, samples=IDS, features=MANIFEST)


def hdf5(folder: Path, name: str = "b.h5", **options: Any) -> Any:
    file = pytest.importorskip("h5py").File(folder / name, "w")
    return file.create_dataset("betas", data=BETAS, **options)


def zarr(folder: Path) -> Any:
    pytest.importorskip("zarr")
    import zarr as library

    array = library.open(str(folder / "b.zarr"), mode="w", shape=(N, P), chunks=(7, 33), dtype="f8")
    array[:] = BETAS
    return array


def backed(folder: Path) -> Any:
    data = anndata()
    # Not every version writes the text of pandas 3.
    for table in (data.obs, data.var):
        table.index = table.index.astype(object)
    data.var["CHR"] = data.var["CHR"].astype(object)
    data.write_h5ad(folder / "b.h5ad")
    return pytest.importorskip("anndata").read_h5ad(folder / "b.h5ad", backed="r")


class Exchanged:
    """A frame of a library that has the interchange protocol alone."""

    def __init__(self, frame: pa.Table) -> None:
        self._frame = frame

    def __dataframe__(self, *args: Any, **options: Any) -> Any:
        return self._frame.__dataframe__(*args, **options)


# what is given, and whether it brings chromosomes and positions
KINDS: dict[str, tuple[Callable[[Path], Any], bool]] = {
    "DataFrame": (lambda _: FRAME, False),
    "DataFrame with a manifest in another order": (lambda _: lfmm2.named_array(FRAME, features=MANIFEST[::-1]), True),
    "pandas of Arrow": (lambda _: FRAME.convert_dtypes(dtype_backend="pyarrow"), False),
    "Arrow with the index of pandas": (lambda _: pa.Table.from_pandas(FRAME), False),
    "Arrow with IID": (lambda _: pa.table({f"c{j}": c for j, c in enumerate(BETAS.T)} | {"IID": IDS}), False),
    "interchange protocol": (lambda _: Exchanged(pa.Table.from_pandas(FRAME.reset_index(names="id"))), False),
    "polars": (lambda _: polars(), False),
    "AnnData": (lambda _: anndata(), True),
    "AnnData, a layer": (lambda _: layered(), True),
    "AnnData, sparse": (lambda _: anndata(scipy.sparse.csr_matrix(BETAS)), True),
    "AnnData on disk": (backed, True),
    "xarray": (lambda _: labelled(), True),
    "xarray, features first": (lambda _: labelled(turned=True), True),
    "xarray of dask": (lambda _: labelled(turned=True, lazy=True), True),
    "NumPy": (lambda _: named(BETAS), True),
    "NumPy, columns first": (lambda _: named(np.asfortranarray(BETAS)), True),
    "sparse": (lambda _: named(scipy.sparse.coo_array(BETAS)), True),
    "HDF5": (lambda folder: named(hdf5(folder)), True),
    "HDF5 in chunks": (lambda folder: named(hdf5(folder, chunks=(5, 33), compression="gzip")), True),
    "Zarr": (lambda folder: named(zarr(folder)), True),
}  # fmt: skip


@pytest.mark.parametrize(("make", "has_places"), KINDS.values(), ids=KINDS.keys())
def test_every_kind_gives_the_results_and_names_of_the_frame(
    make: Callable[[Path], Any], has_places: bool, tmp_path: Path
) -> None:
    given, right = make(tmp_path), expected()
    with np.errstate(all="raise"):
        result = lfmm2.run(None, given, PHENO, 2)
    np.testing.assert_allclose(result.t, right.t, rtol=1e-9, atol=1e-9)
    table = result.table("age")
    ids = [f"c{j}" for j in range(P)] if isinstance(given, pa.Table) and "IID" in given.column_names else CPGS
    assert table["ID"].to_pylist() == ids
    assert table["CHROM"].to_pylist() == (["7"] * 100 + ["X"] * 219 + ["."] if has_places else ["."] * P)
    assert table["POS"].to_pylist() == ([0, *range(2, P + 1)] if has_places else [0] * P)
    assert table["A1_FREQ"].null_count + int(np.isnan(table["A1_FREQ"].to_numpy()).sum()) >= P


@pytest.mark.parametrize("name", ["DataFrame", "AnnData, sparse", "xarray of dask", "sparse", "HDF5 in chunks", "Zarr"])
def test_sources_keep_the_rules(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lfmm2.genotypes.stored_arrays.SLAB_COLUMNS", 100)
    check_genotype_source(open_source(KINDS[name][0](tmp_path)))


def test_columns_of_obs_are_variables_of_an_anndata() -> None:
    data = anndata()
    data.obs["age"] = PHENO["age"]
    np.testing.assert_allclose(lfmm2.run(None, data, data.obs[["age"]], 2).t, expected().t, atol=1e-9)


def test_names_that_only_count_are_none() -> None:
    data = pytest.importorskip("anndata").AnnData(BETAS)
    source = open_source(data)
    assert (source.has_ids, source.samples.iid[:2]) == (False, ("1", "2"))
    assert source.refusal("extract")


def test_dosages_of_pools_are_of_ploidy_1() -> None:
    result = lfmm2.run(None, lfmm2.named_array(FRAME, ploidy=1), PHENO, 2)
    np.testing.assert_allclose(result.table("age")["A1_FREQ"].to_numpy(), FRAME.mean().to_numpy(), rtol=1e-12)


# arguments of named_array beside the frame, error, message
FAULTS: list[tuple[dict[str, Any], type[LfmmError], str]] = [
    ({"samples": IDS[1:]}, UsageError, "samples has 25 entries, but the array has 26 samples; give one for each"),
    ({"samples": "abc"}, UsageError, "samples is 'abc'; give a list"),
    ({"samples": ["a"] * N}, InconsistentInputError, r"repeated sample IDs in samples \(a\); keep one row of each"),
    ({"samples": [*IDS[1:], None]}, MalformedInputError, "row 26: has no sample ID"),
    ({"features": CPGS[1:]}, UsageError, "features has 319 entries, but the array has 320 features"),
    ({"features": MANIFEST.reset_index(names="Name")}, InconsistentInputError,
     r"none of 320 features is in the table of features \('cg\d+' is not among 0, 1, .*table\.set_index\('Name'\)"),
    ({"features": MANIFEST.drop(columns="CHR")}, InconsistentInputError, "no column CHR or CHROM among MAPINFO"),
    ({"features": MANIFEST.assign(pos=1)}, InconsistentInputError,
     r"several columns are called as positions are \(MAPINFO, pos\); rename all but one"),
    ({"features": pd.concat([MANIFEST, MANIFEST[:1]])}, InconsistentInputError, "has names twice .*; keep one row"),
    ({"pos": [1] * P}, UsageError, "pos gives positions, but no chromosome is known; give chrom too"),
    ({"chrom": ["1"] * P, "pos": [1.5] * P}, MalformedInputError, "pos: '1.5' of feature 1 is no position in base"),
    ({"chrom": ["1"] * P, "pos": [-1] * P}, MalformedInputError, "pos: '-1' of feature 1 is no position in base"),
    ({"layer": "betas"}, UsageError, "layer is 'betas', but DataFrame has no layers; leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "error", "message"), FAULTS)
def test_names_that_do_not_fit_are_refused(arguments: dict[str, Any], error: type[LfmmError], message: str) -> None:
    with pytest.raises(error, match=message):
        lfmm2.named_array(FRAME, **arguments)


def test_files_are_no_arrays() -> None:
    with pytest.raises(UsageError, match=r"named_array takes an array or a table, not 'a\.bed'; give files"):
        lfmm2.named_array("a.bed")


def test_features_that_a_manifest_lacks_are_warned_of() -> None:
    with pytest.warns(InputWarning, match=r"319 of 320 features are not in the table of features \(first cg"):
        source = lfmm2.named_array(FRAME, features=MANIFEST[1:2])
    assert next(source.iter_variants())["CHROM"].to_pylist()[:3] == [".", "7", "."]


def test_a_closed_file_and_chunks_across_all_features_are_refused(tmp_path: Path) -> None:
    closed = hdf5(tmp_path)
    closed.file.close()
    with pytest.raises(InconsistentInputError, match=r"genotypes in h5py \(Dataset\): cannot be read; open the file"):
        open_source(closed)

    class Wide:
        shape, dtype, chunks = (50_000, 100_000), np.dtype(np.float32), (1, 100_000)

    message = "chunks of 100 000 features by all samples take 19073 MiB; store it in chunks of at most 2 048 features"
    with pytest.raises(InconsistentInputError, match=message):
        StoredArray(Wide(), "h5py")
    assert MOST_SLAB_BYTES < 1 << 30


def test_a_file_that_is_closed_while_it_is_read_is_an_error_of_lfmm2(tmp_path: Path) -> None:
    data = hdf5(tmp_path)
    source = named(data)
    data.file.close()
    with pytest.raises(ReadError, match=r"genotypes in h5py .*: features 1 to 320 cannot be read .*; leave the file"):
        lfmm2.run(None, source, PHENO, 2)


def test_stored_arrays_are_never_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lfmm2.genotypes.stored_arrays.SLAB_COLUMNS", 64)

    class Watched:
        shape, dtype, chunks = (N, P), BETAS.dtype, (N, 16)
        widest = 0

        def __getitem__(self, part: Any) -> Any:
            Watched.widest = max(Watched.widest, BETAS[part].shape[1])
            return BETAS[part]

    np.testing.assert_allclose(lfmm2.run(None, named(Watched()), PHENO, 2).t, expected().t, atol=1e-9)
    assert Watched.widest == 64
