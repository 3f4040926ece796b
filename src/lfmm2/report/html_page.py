"""The report as one HTML file: no scripts, pictures as data: URIs, nothing from the network, every text escaped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lfmm2._words import counted, shortened, with_spaces
from lfmm2.report.html_parts import STYLE, Picture, escaped, figure, figures, html_table, listed
from lfmm2.report.report_words import (
    NO_NUMBER,
    counted_as,
    gif_cells,
    method_sentence,
    number,
    penalties_sentence,
    scree_sentence,
    small_p,
    small_q,
    suggestion,
)
from lfmm2.report.summaries import NEIGHBOURHOOD, BriefSummary, Locus, SnpSummary, TableSummary
from lfmm2.results import StoredRun, carrier_lines, describe_flat, sample_lines

# Characters of the record that the page shows; a run of many variables has a record of many megabytes.
_MOST_RECORD = 200_000
# Warnings that the page shows; a run of many variables may have one for each.
_MOST_WARNINGS = 50


@dataclass
class Contents:
    """The contents of a report.

    Attributes
    ----------
    run : StoredRun
    snps : SnpSummary
    tables : list of TableSummary
        Tables that have pictures.
    others : list of BriefSummary
        Tables that have none.
    pictures : list of Picture
        All pictures, in the order of the report.
    sweep : list of dict
        Rows of the sweep table; empty without a sweep.
    """

    run: StoredRun
    snps: SnpSummary
    tables: list[TableSummary] = field(default_factory=list)
    others: list[BriefSummary] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    sweep: list[dict[str, Any]] = field(default_factory=list)

    def chosen(self, *kinds: str, of: str | None = None) -> list[Picture]:
        """Return the pictures of these kinds, kind by kind; only those `of` a table or variable if that is given."""
        return [p for kind in kinds for p in self.pictures if p.kind == kind and of in (None, p.of)]


def _summary(contents: Contents) -> str:
    """Write the section of the summary: size and method of the run, its warnings, and the table of results."""
    run, record = contents.run, contents.run.record
    factors = record.factors
    n_contigs = len(contents.tables[0].layout.names) if contents.tables else 0
    where = f"on {counted(n_contigs, 'contig')}" if _has_positions(contents) else "without positions"
    parts = [
        f"{counted(contents.snps.n_samples, 'sample')}, {counted(run.n_snps, record.tested.noun)} {where}, "
        f"{counted(len(run.variables), 'variable')}"
        + (f" and {counted(n_nuisance, 'nuisance variable')}" if (n_nuisance := len(record.nuisance_variables)) else "")
        + f", K = {run.n_factors} latent factor{'s' if run.n_factors != 1 else ''}. ",
        f"Factors by the solver {escaped(factors.solver)} in {counted_as(factors.n_passes, 'pass', 'passes')}"
        + ("" if factors.converged else ", <strong>not converged</strong>")
        + f"; {record.df} residual degrees of freedom. ",
        escaped(method_sentence(record.calibration.method)),
    ]
    text = f"<p>{''.join(parts)}</p>\n{_warnings(record.warnings)}"
    return text + _results_table(contents)


def _warnings(warnings: Sequence[object]) -> str:
    """Write the first warnings of the run; nothing if there are none."""
    if not warnings:
        return ""
    items = "".join(f"<li>{escaped(text)}</li>" for text in warnings[:_MOST_WARNINGS])
    more = len(warnings) - _MOST_WARNINGS
    items += f"<li>and {more} more, see the log</li>" if more > 0 else ""
    return f'<div class="warning" role="note"><strong>Warnings of the run</strong><ul>{items}</ul></div>\n'


def _results_table(contents: Contents) -> str:
    """Write the table of results: for each variable GIF, discoveries and strongest SNP."""
    calibration = contents.run.record.calibration
    summaries: list[TableSummary | BriefSummary] = [*contents.tables, *contents.others]
    # The joint test is the last of the run's tables, but may stand before `others` here.
    summaries.sort(key=lambda of: contents.run.tables.index(of.name))
    has_fitted_null = calibration.method == "empirical-null"
    has_calibrated = any(of.is_calibrated for of in summaries)
    noun = contents.run.record.tested.noun
    strongest = f"strongest {noun}"
    columns = ["variable", "GIF", "FDR 5 %", "FDR 10 %", strongest, "p", "what the GIF usually means"]
    columns[6:6] = ["p, calibrated"] if has_calibrated else []
    columns[2:2] = ["null mean", "null sd", "null share"] if has_fitted_null else []
    rows = []
    for of in summaries:
        name = escaped(of.name)
        if isinstance(of, TableSummary):
            top = of.loci[0] if of.loci else None
            name = f'<a href="#{_anchor(contents, of.name)}">{name}</a>'
            snp, raw, y = (top.snp, top.values["NEG_LOG10_P"], _strength(top)) if top else ("", np.nan, np.nan)
        else:
            snp, raw, y = of.snp, of.neg_log10_p_raw, of.neg_log10_p
        fit = calibration.tests[of.name]
        gif, meaning = gif_cells(contents.run, of.name, contents.sweep)
        cells = [name, gif]
        cells += [number(value, ".3f") for value in (fit.mean, fit.sd, fit.null_proportion)] if has_fitted_null else []
        cells += [with_spaces(level.count) for level in of.discoveries]
        cells += [escaped(shortened(snp)) or NO_NUMBER, small_p(raw)]
        cells += [small_p(y)] if has_calibrated else []
        cells += [f'<span class="soft">{escaped(meaning)}</span>']
        rows.append((cells, False))
    shown = len([of for of in contents.tables if of.name in contents.run.variables])
    more = (
        f"; the first {counted_as(shown, 'variable has', 'variables have')} pictures below" if contents.others else ""
    )
    which = "of calibrated p" if has_calibrated else "of p"
    caption = f"{noun[0].upper()}{noun[1:]}s found at a false discovery rate (Benjamini–Hochberg, {which}){more}"
    return html_table(caption, columns, rows, text=(0, columns.index(strongest), len(columns) - 1))


def _has_positions(contents: Contents) -> bool:
    """Tell whether any SNP has a position; the SNPs of an array have none."""
    return not contents.tables or bool(contents.tables[0].layout.has_positions.any())


def _strength(locus: Locus) -> float:
    """Return -log10 of the calibrated p."""
    return locus.values["NEG_LOG10_P_CAL"]


def _anchor(contents: Contents, name: str) -> str:
    """Return the anchor of a table in the page; names of variables may have letters that an anchor cannot have."""
    return f"table-{[table.name for table in contents.tables].index(name) + 1}"


def _tests(contents: Contents) -> str:
    """Write the section of the tests: the pictures of each table."""
    parts = []
    for table in contents.tables:
        title = "All variables jointly" if table.name == "joint" and len(contents.run.variables) > 1 else table.name
        parts.append(f'<h3 id="{_anchor(contents, table.name)}">{escaped(title)}</h3>\n')
        parts.append(figures(contents.chosen("manhattan", of=table.name)))
        parts.append(figures(contents.chosen("qq", "p-histogram", of=table.name)))
    return "".join(parts)


def _choice_of_k(contents: Contents) -> str:
    """Write the section on the choice of K: the suggestion, the scree, and the criteria of a sweep."""
    run, parts = contents.run, []
    if (sweep := run.record.sweep) is not None:
        suggested, why = suggestion(run, sweep)
        parts.append(
            f"<p><strong>{escaped(suggested)}</strong> {escaped(why)}"
            f"The tables of this run are of K = {run.n_factors}. The criteria stand side by side below; where they "
            "disagree, prefer what the question needs: few false discoveries, or no missed ones.</p>\n"
        )
        parts.append(f"<p>{escaped(sentence)}</p>\n" if (sentence := penalties_sentence(sweep)) else "")
    if (scree := run.record.scree) is not None:
        parts.append(f"<p>{escaped(scree_sentence(scree, run.record.tested.noun))}</p>\n")
    parts.append(figures(contents.chosen("gif-by-k", "discoveries-by-k", "scree")))
    tables = _sweep_tables(contents)
    for of in contents.tables:
        inside = "".join(map(figure, contents.chosen("histograms-by-k", of=of.name))) + tables.get(of.name, "")
        flat = ""
        if sweep is not None and of.name in sweep.flat:
            flat = f"<p>GIF flat: {escaped(describe_flat(sweep.flat[of.name]))}.</p>\n"
        parts.append(f"<h3>{escaped(of.name)} by K</h3>\n{flat}{inside}" if inside else "")
    return "".join(parts)


def _sweep_tables(contents: Contents) -> dict[str, str]:
    """Write the criteria by K, a table for each variable that has pictures; return the tables by variable."""
    columns = {
        "K": ("K", ".0f"),
        "GIF": ("GIF", ".3f"),
        "GIF_SE": ("± its error", ".2g"),
        "MEDIAN_ABS_T": ("median |t|", ".3f"),
        "Q999_ABS_T": ("99.9 % of |t|", ".2f"),
        "N_FDR05": ("FDR 5 %", ".0f"),
        "N_FDR10": ("FDR 10 %", ".0f"),
        "NULL_MEAN": ("null mean", ".3f"),
        "NULL_SD": ("null sd", ".3f"),
        "NULL_PROPORTION": ("null share", ".3f"),
        "R2_FACTORS": ("R² on the factors", ".3f"),
        "R2_PCS": ("R² on the axes", ".3f"),
        "GAP": ("Gap after K", ".2g"),
    }
    made = {}
    for table in contents.tables:
        of_table = [row for row in contents.sweep if row["VARIABLE"] == table.name]
        if not of_table:
            continue
        known = {key: value for key, value in columns.items() if key in of_table[0]}
        titles, caption = [title for title, _ in known.values()], "Criteria by K; the K of the tables is bold"
        cells = [[number(row[key], spec) for key, (_, spec) in known.items()] for row in of_table]
        bold = [row["K"] == contents.run.n_factors for row in of_table]
        facts = contents.run.record.sweep
        if facts is not None and len(facts.penalties) > 1:
            titles, caption = ["λ", *titles], "Criteria by ridge penalty λ and K; those of the tables are bold"
            cells = [[escaped(row["LAMBDA"]), *of_row] for row, of_row in zip(of_table, cells, strict=True)]
            bold = [is_K and row["LAMBDA"] == facts.penalty for row, is_K in zip(of_table, bold, strict=True)]
        made[table.name] = html_table(caption, titles, list(zip(cells, bold, strict=True)), text=())
    return made


def _factors(contents: Contents) -> str:
    """Write the section of the factors."""
    text = (
        "<p>Where a variable follows the factors closely (correlations near ±1, colours that change along an axis), "
        "effects of the variable and of structure cannot be told apart, and power is low.</p>\n"
    )
    return text + figures(contents.chosen("factor-correlations")) + figures(contents.chosen("factors"))


def _data(contents: Contents) -> str:
    """Write the section of the data: missing calls, samples left out, filters, thinning, SNPs by status."""
    record, snps = contents.run.record, contents.snps
    imputation = record.imputation
    items: dict[str, object] = {
        "missing calls": f"{100 * snps.missing_mean:.3g} % of all; imputed by "
        + (f"the mean of the {record.tested.noun}" if imputation is None else "the factors")
    }
    if imputation is not None and imputation.n_held_out:
        errors = (number(value, ".4g") for value in (imputation.rmse_factors, imputation.rmse_mean, imputation.ratio))
        line = "error {} by the factors, {} by the mean, ratio {}".format(*errors)
        items["imputation"] = f"of {counted(imputation.n_held_out, 'call')} held out: {line}"
    items |= sample_lines(record)
    if (filters := record.filters) is not None:
        items["filters"] = (
            f"{counted(filters.n_snps, 'SNP')} in the file, {with_spaces(filters.no_call)} without a call, "
            f"{with_spaces(filters.below_maf)} below --maf, {with_spaces(filters.above_geno)} above --geno"
        )
    if (thinning := record.thinning) is not None:
        items["thinning"] = (
            f"{with_spaces(thinning.n_kept)} of {counted(thinning.n_snps, 'SNP')} for the factors "
            f"(r² {thinning.r2}, window {thinning.window})"
        )
    status = record.status.items()
    items[f"{record.tested.noun}s"] = ", ".join(
        f"{with_spaces(count)} {name}" for name, count in status if count or name == "OK"
    )
    items |= carrier_lines(record)
    return listed(items) + figures(contents.chosen("frequencies", "missingness"))


# Columns of the top loci that features without alleles lack.
_OF_ALLELES = ("A1", "other", "frequency")


def _top_loci(contents: Contents) -> str:
    """Write the section of the top loci, a table for each variable."""
    which = "the calibrated " if any(of.is_calibrated for of in contents.tables) else ""
    kb, noun = NEIGHBOURHOOD // 1000, contents.run.record.tested.noun
    parts = [
        f"<p>The strongest {noun}s, each the strongest within {kb} kb; bold: q &lt; 0.05. Neighbours are other {noun}s "
        f"within {kb} kb that are strong themselves (−log<sub>10</sub> of {which}p at least 3, or as the table says); "
        "the nearest is named with its distance.</p>\n"
    ]
    if not _has_positions(contents):
        parts = [f"<p>The strongest {noun}s; bold: q &lt; 0.05. They have no positions, so none is near another.</p>\n"]
    for of in contents.tables:
        if not of.loci:
            continue
        is_joint = "BETA" not in of.loci[0].values
        columns = [noun, "contig", *_OF_ALLELES[:2], "position", _OF_ALLELES[2]]
        columns += ["F"] if is_joint else ["effect", "SE"]
        columns += ["p", *(["p, calibrated"] if of.is_calibrated else []), "q", "local fdr", "neighbours", "nearest"]
        kept = [j for j, name in enumerate(columns) if noun == "SNP" or name not in _OF_ALLELES]
        columns = [columns[j] for j in kept]
        rows = [([_locus(locus, of)[j] for j in kept], locus.values.get("Q", 1.0) < 0.05) for locus in of.loci]
        strong = f"; neighbours from −log<sub>10</sub> p = {of.strong_from:.3g}" if _has_positions(contents) else ""
        parts.append(
            f"<h3>{escaped(of.name)}</h3>\n"
            + html_table(
                f"{counted_as(len(rows), 'locus', 'loci')}{strong}",
                columns,
                rows,
                text=(*range(columns.index("position")), len(columns) - 1),
            )
        )
    return "".join(parts)


def _locus(locus: Locus, of: TableSummary) -> list[str]:
    """Return the cells of a locus, in the order of the columns of `_top_loci`."""
    values = locus.values
    is_joint = "BETA" not in values
    names = ((locus.snp, 40), (locus.contig, 25), (locus.a1, 10), (locus.omitted, 10))
    cells = [escaped(text if len(text) <= most else text[: most - 1] + "…") for text, most in names]
    cells += [with_spaces(locus.position) if locus.position else NO_NUMBER, number(values.get("A1_FREQ"), ".3f")]
    cells += [number(values.get("F_STAT"), ".2f")] if is_joint else []
    cells += [] if is_joint else [number(values.get(key), "#.3g") for key in ("BETA", "SE")]
    cells += [small_p(values["NEG_LOG10_P"])]
    cells += [small_p(_strength(locus))] if of.is_calibrated else []
    cells += [small_q(values.get(key, np.nan)) for key in ("Q", "LFDR")]
    if locus.n_near is None:
        return [*cells, NO_NUMBER, ""]
    nearest = f"{escaped(shortened(locus.nearest))} ({_distance(locus.distance)})"
    return [*cells, str(locus.n_near), nearest if locus.n_near else ""]


def _distance(bases: int) -> str:
    """Write a signed distance in bases, with no-break spaces so that it stays in one line."""
    return f"{bases:+,}\u00a0b".replace(",", "\u00a0").replace("-", "−")


def _run_record(contents: Contents) -> str:
    """Write the section of the record of the run."""
    record = contents.run.record
    inputs = [f"{of.path} ({with_spaces(of.bytes)} bytes)" if of.bytes else of.path for of in record.inputs[:20]]
    items: dict[str, object] = {
        "command": record.command,
        "finished": record.finished,
        "software": ", ".join(f"{name} {value}" for name, value in record.software.items()),
        "inputs": "; ".join(inputs),
        "passes": "; ".join(f"{of.label}: {number(of.seconds, '.1f')} s" for of in record.passes[:60]),
    }
    rest = {key: value for key, value in record.to_json().items() if key not in ("files", "identity")}
    text = json.dumps(rest, indent=1, ensure_ascii=False, default=str)
    cut = (
        f"\n… {with_spaces(len(text) - _MOST_RECORD)} more characters in the record" if len(text) > _MOST_RECORD else ""
    )
    return (
        listed(items)
        + f"<details><summary>The whole record</summary><pre>{escaped(text[:_MOST_RECORD])}{cut}</pre></details>\n"
    )


def as_html(contents: Contents) -> bytes:
    """Return the whole HTML file."""
    run = contents.run
    has_k = run.path("sweep") is not None or bool(contents.chosen("scree"))
    sections = [
        ("summary", "Summary", _summary(contents)),
        ("tests", "Tests", _tests(contents)),
        ("k", "Choice of K", _choice_of_k(contents) if has_k else ""),
        ("factors", "Factors", _factors(contents) if contents.chosen("factors", "factor-correlations") else ""),
        ("data", "Data", _data(contents)),
        ("loci", "Top loci", _top_loci(contents) if any(table.loci for table in contents.tables) else ""),
        ("record", "Run record", _run_record(contents)),
    ]
    shown = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title, _ in shown)
    body = "".join(
        f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{title}</h2>\n{text}</section>\n'
        for anchor, title, text in shown
    )
    name = escaped(run.prefix.name)
    version = escaped(run.record.software.get("lfmm2", ""))
    made = ", ".join(filter(None, ["LFMM2 results", f"lfmm2 {version}", escaped(run.record.finished)]))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    text = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="lfmm2 {version}">
<title>{name}: LFMM2 results</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{name}</h1>
<p class="soft">{made}</p>
<nav aria-label="Contents"><ul>{links}</ul></nav></header>
<main>
{body}</main>
</body>
</html>
"""
    return text.encode(errors="backslashreplace")
