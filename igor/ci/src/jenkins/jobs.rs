//! Jobs: which there are, and what they declare.

use serde_json::Value;

use super::{Jenkins, shapes};
use crate::{CiError, JobPath};

/// Folders are looked into this deep.
pub(crate) const FOLDERS_MAX: usize = 10;

/// A declared parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterDefinition {
    pub name: String,
    /// `StringParameterDefinition`, `ChoiceParameterDefinition`, ...
    pub kind: String,
    pub description: String,
    /// Absent for passwords and for kinds whose default is no text.
    pub default: Option<String>,
    /// Not empty for choices.
    pub choices: Vec<String>,
}

/// What a job says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobInfo {
    pub buildable: bool,
    pub concurrent: bool,
    pub next_number: u64,
    pub parameters: Vec<ParameterDefinition>,
    pub url: String,
}

/// A job in the list of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSummary {
    pub path: JobPath,
    pub last_number: Option<u64>,
    pub last_is_building: bool,
}

impl Jenkins {
    /// What a job declares.
    pub async fn job(&self, job: &JobPath) -> Result<JobInfo, CiError> {
        let tree = "buildable,concurrentBuild,nextBuildNumber,url,property[parameterDefinitions\
                    [name,type,description,choices,defaultParameterValue[name,value]]{0,500}]";
        let value = self.json(&job.url(), tree).await?;
        let properties = shapes::list(&value, "property");
        let definitions = properties.flat_map(|p| shapes::list(p, "parameterDefinitions"));
        Ok(JobInfo {
            // A folder has no such member.
            buildable: shapes::flag(&value, "buildable"),
            concurrent: shapes::flag(&value, "concurrentBuild"),
            next_number: shapes::number(&value, "nextBuildNumber").unwrap_or(0),
            parameters: definitions.filter_map(definition).collect(),
            url: shapes::text(&value, "url").unwrap_or_default(),
        })
    }

    /// Every job that our user sees, also those in folders and branches.
    pub async fn jobs(&self) -> Result<Vec<JobSummary>, CiError> {
        let mut tree = "name,buildable,lastBuild[number,building]".to_owned();
        for _ in 0..FOLDERS_MAX {
            tree = format!("name,buildable,lastBuild[number,building],jobs[{tree}]");
        }
        let value = self.json("", &format!("jobs[{tree}]")).await?;
        let mut found = Vec::new();
        collect(&value, None, &mut found);
        Ok(found)
    }
}

/// The reader of JSON limits the depth.
fn collect(value: &Value, above: Option<&JobPath>, found: &mut Vec<JobSummary>) {
    for job in shapes::list(value, "jobs") {
        let Some(name) = shapes::text(job, "name") else {
            continue;
        };
        let path = match above {
            Some(above) => above.child(&name),
            None => JobPath::parse(&format!("job/{name}")),
        };
        let Ok(path) = path else { continue };
        collect(job, Some(&path), found);
        if job.get("jobs").is_none() {
            let last = job.get("lastBuild").filter(|b| b.is_object());
            found.push(JobSummary {
                path,
                last_number: last.and_then(|b| shapes::number(b, "number")),
                last_is_building: last.is_some_and(|b| shapes::flag(b, "building")),
            });
        }
    }
}

fn definition(value: &Value) -> Option<ParameterDefinition> {
    let default = value
        .get("defaultParameterValue")
        .and_then(|d| d.get("value"));
    Some(ParameterDefinition {
        name: shapes::text(value, "name")?,
        kind: shapes::text(value, "type").unwrap_or_default(),
        description: shapes::text(value, "description").unwrap_or_default(),
        default: match default {
            Some(Value::String(text)) => Some(text.clone()),
            Some(other @ (Value::Bool(_) | Value::Number(_))) => Some(other.to_string()),
            Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => None,
        },
        choices: shapes::list(value, "choices")
            .filter_map(|c| c.as_str().map(str::to_owned))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn folders_are_gone_through_and_odd_names_left_out() {
        let value = json!({"jobs": [
            {"name": "job", "lastBuild": {"number": 3, "building": true}},
            {"name": "team", "jobs": [{"name": "feature%2Fx", "lastBuild": null}, {"name": ".."}, {}]},
            {"name": "empty", "jobs": []},
        ]});
        let mut found = Vec::new();
        collect(&value, None, &mut found);
        let shown: Vec<_> = found
            .iter()
            .map(|j| (j.path.to_string(), j.last_number, j.last_is_building))
            .collect();
        assert_eq!(
            shown,
            [
                ("job".to_owned(), Some(3), true),
                ("team/feature%2Fx".to_owned(), None, false)
            ]
        );
    }

    #[test]
    fn defaults_are_texts() {
        let kinds = json!([{"name": "A", "type": "BooleanParameterDefinition", "defaultParameterValue": {"value": true}},
            {"name": "P", "defaultParameterValue": {}}, {"type": "x"}, {"name": "C", "choices": ["a", 1]}]);
        let read: Vec<_> = kinds
            .as_array()
            .unwrap()
            .iter()
            .filter_map(definition)
            .collect();
        assert_eq!(read.len(), 3);
        assert_eq!(
            (read[0].default.as_deref(), read[1].default.as_deref()),
            (Some("true"), None)
        );
        assert_eq!(read[2].choices, ["a"]);
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(names in proptest::collection::vec("\\PC{0,12}", 0..6)) {
            let mut value = json!({"name": "leaf"});
            for name in &names {
                value = json!({"name": name, "jobs": [value]});
            }
            collect(&json!({ "jobs": [value] }), None, &mut Vec::new());
        }
    }
}
