//! `gennaker errors`: the pages of the error codes, compiled in.

use kork::problem;
use serde_json::json;

use super::columns;
use crate::{
    client::Failure,
    exit::Exit,
    output::{Out, Table},
};

/// Heading of the part of a page that says what to do.
const WHAT_TO_DO: &str = "## What to do";

pub(super) fn run(code: Option<&str>, out: &Out) -> Result<Exit, Failure> {
    let Some(code) = code else {
        let all: Vec<_> = problem::all()
            .iter()
            .map(|c| json!({"code": c.code, "title": c.title}))
            .collect();
        out.data(&all, |paint| {
            let mut table = Table::new(&["CODE", "MEANING"], "there are no codes");
            for entry in problem::all() {
                table.row([entry.code.to_owned(), entry.title.to_owned()]);
            }
            table.render(paint, columns(out))
        });
        return Ok(Exit::Success);
    };
    let upper = code.to_ascii_uppercase();
    let entry = problem::lookup(&upper).ok_or_else(|| {
        Failure::input(
            format!("there is no error code {code}"),
            "`gennaker errors` lists all codes",
        )
    })?;
    let document = json!({"code": entry.code, "title": entry.title, "page": entry.page});
    let page = entry.page;
    let shown = if entry.title.contains(entry.code) {
        page.to_owned()
    } else {
        page.replacen("# ", &format!("# {}: ", entry.code), 1)
    };
    out.data(&document, |_| shown);
    Ok(Exit::Success)
}

/// What the page of a code says to do next, as one line.
pub(crate) fn next_step(code: &str) -> Option<String> {
    let (_, rest) = problem::lookup(code)?.page.split_once(WHAT_TO_DO)?;
    let part = rest.split("\n## ").next()?;
    let line = part.split_whitespace().collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_says_what_to_do() {
        let silent: Vec<&str> = problem::all()
            .iter()
            .map(|c| c.code)
            .filter(|c| next_step(c).is_none())
            .collect();
        assert_eq!(silent, Vec::<&str>::new());
        assert_eq!(next_step("NO-SUCH"), None);
    }
}
