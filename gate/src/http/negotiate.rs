//! Media types: what a caller accepts, and what it sends.

/// True when an `Accept` header allows the media type; a missing or empty one allows everything.
/// Structured suffixes count as their base: `application/json` allows `application/x+json`.
pub(crate) fn accepts(accept: Option<&str>, offered: &str) -> bool {
    let Some(accept) = accept.map(str::trim).filter(|text| !text.is_empty()) else {
        return true;
    };
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let wanted = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = parts.any(|p| {
            p.strip_prefix("q=")
                .is_some_and(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        !refused && covers(&wanted, offered)
    })
}

/// True for JSON in all its names.
pub(crate) fn is_json(content_type: &str) -> bool {
    let media = media(content_type);
    media == "application/json" || (media.starts_with("application/") && media.ends_with("+json"))
}

/// The media type without its parameters, lower case.
pub(crate) fn media(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn covers(wanted: &str, offered: &str) -> bool {
    if wanted == "*/*" || wanted == "*" || wanted == offered {
        return true;
    }
    if let Some(kind) = wanted.strip_suffix("/*") {
        return offered.split('/').next() == Some(kind);
    }
    is_json(wanted) && is_json(offered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_accepted_under_its_names() {
        for accept in [
            None,
            Some(""),
            Some("*/*"),
            Some("application/*"),
            Some("application/json, text/plain, */*"),
            Some("text/html;q=0.9,*/*;q=0.8"),
            Some("application/vnd.spring-boot.actuator.v3+json"),
        ] {
            assert!(accepts(accept, "application/json"), "{accept:?}");
        }
        for accept in [
            Some("application/xml"),
            Some("text/*"),
            Some("application/json;q=0"),
        ] {
            assert!(!accepts(accept, "application/json"), "{accept:?}");
        }
    }
}
