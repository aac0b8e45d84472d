//! Properties that a build writes to its log: `SPINNAKER_PROPERTY_<NAME>=<value>`, `SPINNAKER_CONFIG_JSON={..}`.
//!
//! They count only at the beginning of a line, so that the commands that print them, which runners echo,
//! do not. Names become small letters, as in Spinnaker.

use kork_model::Context;
use serde_json::Value;

const PROPERTY: &str = "SPINNAKER_PROPERTY_";
const JSON: &str = "SPINNAKER_CONFIG_JSON=";
/// Most properties of one log.
const PROPERTIES_MAX: usize = 1_000;

/// Adds what a log holds to `values`; later lines win. The error says what cannot be read.
pub fn collect(log: &str, values: &mut Context) -> Result<(), String> {
    for line in log.lines() {
        let line = without_time(line.trim());
        if values.len() >= PROPERTIES_MAX {
            return Err(format!("it has more than {PROPERTIES_MAX} properties"));
        }
        if let Some((name, value)) = line.strip_prefix(PROPERTY).and_then(|l| l.split_once('=')) {
            values.insert(name.trim().to_lowercase(), Value::from(value.trim()));
        } else if let Some(json) = line.strip_prefix(JSON) {
            match serde_json::from_str(json) {
                Ok(Value::Object(more)) => values.extend(more),
                Ok(_) => return Err(format!("{JSON} is not followed by a JSON object")),
                Err(error) => return Err(format!("what follows {JSON} cannot be read: {error}")),
            }
        }
    }
    Ok(())
}

/// Runners put a time before every line, GitLab's also the stream: `2026-09-01T10:00:00.123Z 00O `.
fn without_time(line: &str) -> &str {
    let Some((first, rest)) = line.split_once(' ') else {
        return line;
    };
    let is_time = first.len() > 19
        && first.ends_with('Z')
        && first.bytes().take(4).all(|b| b.is_ascii_digit())
        && first.as_bytes()[10] == b'T';
    if !is_time {
        return line;
    }
    let rest = rest.trim_start();
    match rest.split_once(' ') {
        Some((stream @ ("00O" | "00E" | "01O" | "01E"), rest)) => {
            debug_assert_eq!(stream.len(), 3);
            rest.trim_start()
        }
        Some(_) | None => rest,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_lines_that_begin_with_it_count() {
        let log = "$ echo \"SPINNAKER_PROPERTY_A=no\"\r\nSPINNAKER_PROPERTY_A_B= x=y \r\n  SPINNAKER_PROPERTY_C=\n\
                   2026-09-01T10:00:00.1234567Z SPINNAKER_PROPERTY_D=1\n\
                   2026-09-01T10:00:00.123456Z 00O SPINNAKER_CONFIG_JSON={\"E\": [1]}\n\
                   SPINNAKER_PROPERTY_NONE\n";
        let mut values = Context::new();
        collect(log, &mut values).unwrap();
        assert_eq!(
            Value::Object(values),
            json!({"a_b": "x=y", "c": "", "d": "1", "E": [1]})
        );
    }

    #[test]
    fn what_is_broken_or_endless_is_refused() {
        let mut values = Context::new();
        assert!(collect("SPINNAKER_CONFIG_JSON={", &mut values).is_err());
        assert!(collect("SPINNAKER_CONFIG_JSON=[]", &mut values).is_err());
        let lines: Vec<_> = (0..2_000)
            .map(|n| format!("SPINNAKER_PROPERTY_{n}=1"))
            .collect();
        assert!(collect(&lines.join("\n"), &mut values).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(SPINNAKER_PROPERTY_|SPINNAKER_CONFIG_JSON=|2026-09-01T10:00:00.1Z |00O |[=ü{}\\n ]){0,12}\\PC{0,20}") {
            drop(collect(&text, &mut Context::new()));
        }
    }
}
