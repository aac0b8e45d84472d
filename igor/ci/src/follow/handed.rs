//! What a build hands on, within what a stage may hold. Properties come first: later stages do what they say.

use kork_model::Context;
use serde_json::{Value, json};

/// For the commas and names between the parts.
const MARGIN_BYTES: usize = 512;

/// What a build left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// What is shown of it besides.
    pub shown: Context,
    /// Of its property file.
    pub values: Context,
    /// `buildInfo`, with all of its artifacts.
    pub info: Value,
}

/// For the stage's context, and for later stages.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Handed {
    pub context: Context,
    pub outputs: Context,
}

/// What a build left in at most `bytes_max`: if need be with fewer artifacts, without its changes, and with its
/// properties only in the outputs. `resultCut` in the context says what is not there. An error says that not
/// even the properties fit.
pub(super) fn hand_on(left: Left, bytes_max: usize) -> Result<Handed, String> {
    let Left {
        shown,
        values,
        mut info,
    } = left;
    let mut artifacts = match info.get_mut("artifacts").map(Value::take) {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    };
    // Properties stand in context and outputs, flat and as `propertyFileContents`; a build in both.
    let (mut of_values, fixed) = (4 * bytes(&values), bytes(&shown) + MARGIN_BYTES);
    let room =
        |of_values: usize, info: &Value| bytes_max.checked_sub(fixed + of_values + 2 * bytes(info));
    let mut cut = Vec::new();
    if room(of_values, &info).is_none() {
        info["scm"] = json!([]);
        cut.push("the changes of the build".to_owned());
    }
    if room(of_values, &info).is_none() {
        of_values /= 2;
        cut.push("its properties here; the outputs have them".to_owned());
    }
    let Some(room) = room(of_values, &info) else {
        return Err(format!(
            "the properties of the build have {} bytes, which is more than a stage may hold; publish large values \
             as an artifact",
            bytes(&values)
        ));
    };
    let all = artifacts.len();
    artifacts.truncate(count(&artifacts, room / 3));
    if artifacts.len() < all {
        let rest = all - artifacts.len();
        cut.push(format!("{rest} of the {all} artifacts"));
    }
    info["artifacts"] = json!(artifacts);
    let with = |values: Context| {
        let mut context = values.clone();
        // What the suite writes itself must not be replaced by a file of a build.
        context.insert("propertyFileContents".to_owned(), values.into());
        context.insert("buildInfo".to_owned(), info.clone());
        context
    };
    let in_context = if of_values == 4 * bytes(&values) {
        values.clone()
    } else {
        Context::new()
    };
    let (mut context, mut outputs) = (with(in_context), with(values));
    context.extend(shown);
    if !cut.is_empty() {
        let text = format!(
            "left out, as the stage would be too large: {}",
            cut.join("; ")
        );
        context.insert("resultCut".to_owned(), text.into());
    }
    outputs.insert("artifacts".to_owned(), artifacts.into());
    Ok(Handed { context, outputs })
}

/// How many of them fit.
fn count(artifacts: &[Value], room: usize) -> usize {
    let mut used = 0;
    let fits = artifacts.iter().take_while(|artifact| {
        used += bytes(artifact) + 1;
        used <= room
    });
    fits.count()
}

fn bytes(value: &impl serde::Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn left(values: usize, artifacts: usize, changes: usize) -> Left {
        let artifacts = (0..artifacts).map(|n| json!({"relativePath": format!("out/{n}")}));
        Left {
            shown: Context::from_iter([("consoleTail".to_owned(), json!("done"))]),
            values: (0..values)
                .map(|n| (format!("KEY_{n}"), json!("v")))
                .collect(),
            info: json!({"number": 7, "scm": [{"message": "m".repeat(changes)}],
                         "artifacts": artifacts.collect::<Vec<_>>()}),
        }
    }

    fn size(handed: &Handed) -> usize {
        bytes(&handed.context) + bytes(&handed.outputs)
    }

    #[test]
    fn what_fits_is_whole() {
        let handed = hand_on(left(2, 3, 10), 10_000).unwrap();
        assert_eq!(handed.outputs["artifacts"].as_array().unwrap().len(), 3);
        assert_eq!(handed.context["buildInfo"], handed.outputs["buildInfo"]);
        assert_eq!(handed.context["propertyFileContents"]["KEY_1"], "v");
        assert!(!handed.context.contains_key("resultCut"));
    }

    #[test]
    fn properties_come_before_artifacts_and_changes() {
        let handed = hand_on(left(100, 1_000, 10_000), 10_000).unwrap();
        assert!(size(&handed) <= 10_000);
        assert_eq!(handed.outputs["KEY_99"], "v");
        assert_eq!(handed.context["KEY_99"], "v");
        let cut = handed.context["resultCut"].as_str().unwrap();
        assert!(
            cut.contains("changes") && cut.contains("of the 1000 artifacts"),
            "{cut}"
        );
        let rows = handed.outputs["artifacts"].as_array().unwrap();
        assert!(!rows.is_empty());
        assert_eq!(handed.context["buildInfo"]["artifacts"], json!(rows));
    }

    #[test]
    fn properties_that_do_not_fit_are_no_silent_loss() {
        let handed = hand_on(left(200, 0, 0), 9_000).unwrap();
        assert_eq!(handed.outputs["propertyFileContents"]["KEY_199"], "v");
        assert!(!handed.context.contains_key("KEY_199"));
        let error = hand_on(left(1_000, 0, 0), 9_000).unwrap_err();
        assert!(error.contains("more than a stage may hold"), "{error}");
    }

    proptest! {
        #[test]
        fn it_never_grows_too_large(values in 0usize..300, artifacts in 0usize..300, changes in 0usize..9_000, max in 0usize..30_000) {
            if let Ok(handed) = hand_on(left(values, artifacts, changes), max) {
                // The note about what is cut is not counted, it is short.
                prop_assert!(size(&handed) <= max + 300);
            }
        }
    }
}
