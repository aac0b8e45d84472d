//! Every code in alphabetical order, one line each; the pages are compiled in.

use super::ErrorCode;

macro_rules! table {
    ($($code:literal,)*) => {
        &[$({
            const PAGE: &str = include_str!(concat!("pages/", $code, ".md"));
            ErrorCode { code: $code, title: title_of(PAGE), page: PAGE }
        },)*]
    };
}

/// The first line of a page without its mark.
const fn title_of(page: &'static str) -> &'static str {
    const MARK: usize = "# ".len();
    let bytes = page.as_bytes();
    let mut end = MARK;
    while end < bytes.len() && bytes[end] != b'\n' {
        end += 1;
    }
    page.split_at(end).0.split_at(MARK).1
}

#[rustfmt::skip]
pub(super) const TABLE: &[ErrorCode] = table![
    "CLOUDDRIVER-0001",
    "CLOUDDRIVER-0002",
    "CLOUDDRIVER-0003",
    "CLOUDDRIVER-0004",
    "CLOUDDRIVER-0005",
    "CLOUDDRIVER-0006",
    "CLOUDDRIVER-0007",
    "CLOUDDRIVER-0008",
    "CLOUDDRIVER-0009",
    "CLOUDDRIVER-0010",
    "CLOUDDRIVER-0011",
    "CLOUDDRIVER-0012",
    "CLOUDDRIVER-0013",
    "CLOUDDRIVER-0014",
    "CLOUDDRIVER-0015",
    "CLOUDDRIVER-0016",
    "CLOUDDRIVER-0017",
    "CLOUDDRIVER-0018",
    "CLOUDDRIVER-0019",
    "CLOUDDRIVER-0020",
    "CLOUDDRIVER-0021",
    "CLOUDDRIVER-0022",
    "CLOUDDRIVER-0023",
    "FRONT50-0001",
    "FRONT50-0002",
    "FRONT50-0003",
    "FRONT50-0004",
    "FRONT50-0005",
    "FRONT50-0006",
    "FRONT50-0007",
    "FRONT50-0008",
    "FRONT50-0009",
    "FRONT50-0010",
    "GATE-0001",
    "GATE-0002",
    "GATE-0003",
    "GATE-0004",
    "GATE-0005",
    "GATE-0006",
    "GATE-0007",
    "GATE-0008",
    "GATE-0009",
    "GATE-0010",
    "GATE-0011",
    "GATE-0012",
    "GATE-0013",
    "GATE-0014",
    "GATE-0015",
    "GATE-0016",
    "GATE-0017",
    "GATE-0018",
    "GATE-0020",
    "IGOR-0001",
    "IGOR-0002",
    "IGOR-0003",
    "IGOR-0004",
    "IGOR-0005",
    "IGOR-0006",
    "IGOR-0007",
    "IGOR-0008",
    "IGOR-0009",
    "IGOR-0010",
    "IGOR-0011",
    "KORK-0001",
    "KORK-0002",
    "KORK-0003",
    "KORK-0004",
    "KORK-0005",
    "KORK-0006",
    "KORK-0007",
    "KORK-0008",
    "KORK-0009",
    "KORK-0010",
    "KORK-0011",
    "ORCA-0001",
    "ORCA-0002",
    "ORCA-0003",
    "ORCA-0004",
    "ORCA-0005",
    "ORCA-0006",
    "ORCA-0007",
    "ORCA-0008",
    "ORCA-0009",
    "ORCA-0010",
    "ORCA-0011",
    "ORCA-0012",
    "ORCA-0013",
    "ORCA-0014",
    "ORCA-0015",
    "ORCA-0016",
    "ORCA-0017",
    "ORCA-0018",
    "ORCA-0019",
];
