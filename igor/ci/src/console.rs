//! Logs as people read them.

/// What starts a control sequence of a terminal.
const ESCAPE: char = '\u{1b}';

/// A log without colours, without the marks of GitLab's sections, and of lines that were written over only what
/// stayed.
pub(crate) fn plain(log: &str) -> String {
    let mut text = String::with_capacity(log.len());
    for line in without_escapes(log).split_inclusive('\n') {
        let body = line.trim_end_matches(['\r', '\n']);
        let stayed = body
            .rsplit('\r')
            .find(|part| !part.is_empty())
            .unwrap_or_default();
        let is_mark = ["section_start:", "section_end:"]
            .iter()
            .any(|mark| stayed.starts_with(mark));
        if !is_mark {
            text.push_str(stayed);
            if line.ends_with('\n') {
                text.push('\n');
            }
        }
    }
    text
}

/// `ESC [ parameters final`, and two characters of any other sequence.
fn without_escapes(log: &str) -> String {
    let mut text = String::with_capacity(log.len());
    let mut rest = log.chars();
    while let Some(c) = rest.next() {
        if c != ESCAPE {
            text.push(c);
        } else if rest.next() == Some('[') {
            // Ends with a letter or one of `@[\]^_`{|}~`.
            rest.by_ref().find(|c| ('@'..='~').contains(c));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_show_stays() {
        let log = "\u{1b}[0Ksection_start:1560896352:build\r\u{1b}[0K\u{1b}[36mBuilding\u{1b}[0;m\r\n\
                   10%\r50%\r100%\nsection_end:1560896353:build\r\n\nlast \u{1b}[31mline";
        assert_eq!(plain(log), "Building\n100%\n\nlast line");
        assert_eq!(plain("a\u{1b}"), "a");
        assert_eq!(plain("a\u{1b}[12;3"), "a");
    }

    proptest! {
        #[test]
        fn nothing_of_a_plain_log_is_lost(log in "[a-zü0-9 .]{0,20}(\n[a-zü0-9 .]{0,20}){0,5}") {
            prop_assert_eq!(plain(&log), log);
        }

        #[test]
        fn no_log_breaks_it(log in "(\u{1b}|\\[|[0-9;]|m|\r|\n|section_|start:|ü|\\PC){0,40}") {
            prop_assert!(!plain(&log).contains(ESCAPE));
        }
    }
}
