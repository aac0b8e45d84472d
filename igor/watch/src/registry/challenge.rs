//! `WWW-Authenticate`: how a registry wants to be asked. Pure.

/// Challenges of one answer that are looked at.
const CHALLENGES_MAX: usize = 8;

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a token that `realm` gives out.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
    /// With user name and password.
    Basic,
}

/// The challenges of a header that are understood, by RFC 9110; broken and unknown ones are left out.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut current: Option<Parameters<'_>> = None;
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        let value = after
            .trim_start_matches([' ', '\t'])
            .strip_prefix('=')
            .map(|after| after.trim_start_matches([' ', '\t']));
        let Some(value) = value else {
            found.extend(current.take().and_then(Parameters::challenge));
            if found.len() >= CHALLENGES_MAX {
                return found;
            }
            current = Some(Parameters {
                scheme: word,
                ..Parameters::default()
            });
            rest = after;
            continue;
        };
        let (value, after) = text(value);
        if let Some(current) = &mut current {
            current.set(word, value);
        }
        rest = after;
    }
    found.extend(current.and_then(Parameters::challenge));
    found
}

#[derive(Default)]
struct Parameters<'a> {
    scheme: &'a str,
    realm: Option<String>,
    service: Option<String>,
    scope: Option<String>,
}

impl Parameters<'_> {
    /// The first one of a name counts.
    fn set(&mut self, name: &str, value: String) {
        let member = match name.to_ascii_lowercase().as_str() {
            "realm" => &mut self.realm,
            "service" => &mut self.service,
            "scope" => &mut self.scope,
            _ => return,
        };
        member.get_or_insert(value);
    }

    fn challenge(self) -> Option<Challenge> {
        if self.scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !self.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Some(Challenge::Bearer {
            realm: self.realm?,
            service: self.service,
            scope: self.scope.filter(|scope| !scope.is_empty()),
        })
    }
}

fn token(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t', ',', '=', '"']).unwrap_or(text.len());
    text.split_at(end)
}

/// A quoted text or a bare one, and what comes after it.
fn text(input: &str) -> (String, &str) {
    let Some(quoted) = input.strip_prefix('"') else {
        let end = input.find([' ', '\t', ',']).unwrap_or(input.len());
        let (bare, after) = input.split_at(end);
        return (bare.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (header, expected) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push""#,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/nginx:pull,push"),
                )],
            ),
            (
                r#"bearer REALM = "https://x/\"t\\" , scope="" , error="insufficient_scope""#,
                vec![bearer(r#"https://x/"t\"#, None, None)],
            ),
            (
                r#"Basic realm="a, Bearer realm=b", Negotiate, Bearer realm=https://x/t,realm=https://y"#,
                vec![Challenge::Basic, bearer("https://x/t", None, None)],
            ),
            ("Basic", vec![Challenge::Basic]),
            ("Bearer", vec![]),
            (
                r#"Bearer realm="unfinished"#,
                vec![bearer("unfinished", None, None)],
            ),
            ("Digest nonce=1", vec![]),
            ("", vec![]),
            (", ,,", vec![]),
            (r#""Bearer" realm=x"#, vec![]),
            ("=x", vec![]),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
        assert_eq!(parse(&"Basic, ".repeat(1000)).len(), CHALLENGES_MAX);
    }

    proptest! {
        #[test]
        fn any_header_is_survived(header in any::<String>()) {
            parse(&header);
        }

        #[test]
        fn anything_like_a_header_is_survived(header in "(Bearer|Basic|realm|scope|=|\"|\\\\|,| |é|x){0,40}") {
            prop_assert!(parse(&header).len() <= CHALLENGES_MAX);
        }

        #[test]
        fn quoted_text_comes_out_as_it_went_in(realm in any::<String>(), scope in "[ -~]{1,40}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer scope=\"{}\", realm=\"{}\"", quote(&scope), quote(&realm));
            prop_assert_eq!(parse(&header), vec![bearer(&realm, None, Some(&scope))]);
        }
    }
}
