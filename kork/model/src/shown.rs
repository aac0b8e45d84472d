//! Executions as text, for whoever passes them on.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Execution;

/// An execution as clients see it: JSON with sorted keys, which nobody takes apart on its way. Copies are
/// cheap.
#[derive(Debug, Clone)]
pub struct Shown(Arc<Box<RawValue>>);

impl Shown {
    /// Writes an execution.
    pub fn of(execution: &Execution) -> Result<Self, serde_json::Error> {
        // Through a value, because that sorts the keys.
        let sorted = serde_json::to_value(execution)?;
        serde_json::value::to_raw_value(&sorted).map(|raw| Self(Arc::new(raw)))
    }

    /// The JSON.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Reads the execution, or a part of it.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text())
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(|raw| Self(Arc::new(raw)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_comes_through_as_it_was_written() {
        let execution = Execution {
            name: Some("p \"1\"".to_owned()),
            ..Execution::default()
        };
        let sent = serde_json::to_vec(&[Shown::of(&execution).unwrap()]).unwrap();
        assert_eq!(
            sent,
            serde_json::to_vec(&serde_json::to_value([&execution]).unwrap()).unwrap()
        );
        let come: Vec<Shown> = serde_json::from_slice(&sent).unwrap();
        assert_eq!(come[0].read::<Execution>().unwrap(), execution);
        assert_eq!(sent, format!("[{}]", come[0].text()).into_bytes());
    }
}
