//! `Link` with `rel="next"`: where the next page of a list is, by RFC 8288. Pure.

/// Links of one header that are looked at.
const LINKS_MAX: usize = 16;

/// The query of the link to the next page, without the question mark; none at the last page.
///
/// Only the query is taken: the path of a list does not change from page to page, and a registry behind a
/// proxy may give a host or scheme by which it cannot be reached, or which must not see credentials.
pub(super) fn next_query(header: &str) -> Option<&str> {
    let mut rest = header;
    for _ in 0..LINKS_MAX {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        let end = end_of_parameters(after);
        let (parameters, after) = after.split_at(end);
        if is_next(parameters) {
            let (_, query) = target.split_once('?')?;
            let query = query.split_once('#').map_or(query, |(query, _)| query);
            return Some(query).filter(|query| !query.is_empty());
        }
        rest = after;
    }
    None
}

/// Until the comma that is in no quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return false;
        };
        let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
        name.trim().eq_ignore_ascii_case("rel") && relations.any(|r| r.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (header, expected) in [
            (
                r#"</v2/a/tags/list?last=b&n=2>; rel="next""#,
                Some("last=b&n=2"),
            ),
            (
                r"<https://other.example/x?last=%2F+,>;rel=next",
                Some("last=%2F+,"),
            ),
            (
                r#"</a?x=1>; rel="prev", </a?x=3>; title="a,b\",;"; REL="last NEXT""#,
                Some("x=3"),
            ),
            (r"</a?x=1#part>; rel=next", Some("x=1")),
            (r#"</a>; rel="next""#, None),
            (r#"</a?>; rel="next""#, None),
            (r#"</a?x=1>; rel="nextish""#, None),
            ("</a?x=1>", None),
            ("</a?x=1", None),
            ("", None),
        ] {
            assert_eq!(next_query(header), expected, "{header}");
        }
        let many = "</a?x=1>; rel=prev, ".repeat(1000) + "</a?x=2>; rel=next";
        assert_eq!(next_query(&many), None);
    }

    proptest! {
        #[test]
        fn any_header_is_survived(header in any::<String>()) {
            next_query(&header);
        }

        #[test]
        fn anything_like_a_header_is_survived(header in "(<|>|;|,|rel|=|\"|next|\\\\|\\?|#|é| ){0,40}") {
            if let Some(query) = next_query(&header) {
                prop_assert!(!query.is_empty() && header.contains(query));
            }
        }
    }
}
