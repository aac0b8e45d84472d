//! Reading what gate answers: up to a size, and as JSON of the promised shape.

use serde_json::Value;

use super::Failure;

/// Longest answer that is read, bytes: 64 MiB.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Characters that are shown of an answer that is no JSON.
const SHOWN_CHARS_MAX: usize = 120;

/// The whole answer as text.
pub(super) async fn text(
    mut response: reqwest::Response,
    base: &str,
    url: &str,
) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Err(Failure::Unreadable {
                    url: url.to_owned(),
                    reason: format!("it has more than {ANSWER_BYTES_MAX} bytes"),
                });
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => return Err(Failure::unreachable(base, error)),
        }
    }
}

/// The answer as JSON; nothing at all is null.
pub(super) fn json(text: &str, url: &str) -> Result<Value, Failure> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| Failure::Unreadable {
        url: url.to_owned(),
        reason: format!("it is not JSON ({error}); it begins {:?}", beginning(text)),
    })
}

/// The answer, when it is an object.
pub(super) fn object(answer: Value, url: &str) -> Result<Value, Failure> {
    if answer.is_object() {
        return Ok(answer);
    }
    Err(misshapen(&answer, url, "an object"))
}

/// The answer, when it is a list of objects.
pub(super) fn list(answer: Value, url: &str) -> Result<Value, Failure> {
    let is_list = answer
        .as_array()
        .is_some_and(|all| all.iter().all(Value::is_object));
    if is_list {
        return Ok(answer);
    }
    Err(misshapen(&answer, url, "a list of objects"))
}

fn misshapen(answer: &Value, url: &str, expected: &str) -> Failure {
    Failure::Unreadable {
        url: url.to_owned(),
        reason: format!("it is not {expected}: {}", beginning(&answer.to_string())),
    }
}

/// The text of a page without its markup, on one line.
pub(super) fn words(text: &str) -> String {
    let mut plain = String::new();
    let mut in_tag = false;
    let is_page = text.trim_start().starts_with('<');
    for c in text.chars() {
        match c {
            '<' if is_page => {
                in_tag = true;
                plain.push(' ');
            }
            '>' if in_tag => in_tag = false,
            _ if in_tag => {}
            _ => plain.push(c),
        }
    }
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn beginning(text: &str) -> String {
    let shown: String = text.trim().chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.trim().len() {
        return format!("{shown}…");
    }
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_told_without_its_markup_and_text_as_it_is() {
        let page = "<html><head><title>502 Bad Gateway</title></head>\n<hr>nginx</html>";
        assert_eq!(words(page), "502 Bad Gateway nginx");
        assert_eq!(words("1 < 2 > 0"), "1 < 2 > 0");
    }

    #[test]
    fn an_answer_of_another_shape_is_refused_with_its_beginning() {
        for answer in [json!(null), json!({}), json!([1]), json!("text")] {
            let told = list(answer, "http://g/x").unwrap_err().to_string();
            assert!(told.contains("not a list of objects"), "{told}");
        }
        assert!(list(json!([{"a": 1}]), "u").is_ok() && list(json!([]), "u").is_ok());
        assert!(object(json!([]), "u").is_err() && object(json!({}), "u").is_ok());
        let told = super::json(&"x".repeat(500), "u").unwrap_err().to_string();
        assert!(told.contains("it begins") && told.len() < 300, "{told}");
    }
}
