//! Makes an input smaller for as long as it does the same.

use serde_json::Value;

use crate::Input;

/// Runs that one input is worth.
const RUNS_MAX: usize = 3_000;

/// The smallest input that was found for which `same` holds; `input` itself has to.
pub fn shrunk(input: &Input, same: impl Fn(&Input) -> bool) -> Input {
    let mut attempt = Attempt {
        best: input.clone(),
        runs: 0,
        same,
    };
    let mut before = usize::MAX;
    while attempt.best.len() < before && attempt.runs < RUNS_MAX {
        before = attempt.best.len();
        attempt.without_names();
        attempt.without_members();
        attempt.without_parts();
    }
    attempt.best
}

struct Attempt<F> {
    best: Input,
    runs: usize,
    same: F,
}

impl<F: Fn(&Input) -> bool> Attempt<F> {
    /// Takes it when it does the same.
    fn take(&mut self, smaller: Input) -> bool {
        self.runs += 1;
        let taken =
            self.runs <= RUNS_MAX && smaller.len() < self.best.len() && (self.same)(&smaller);
        if taken {
            self.best = smaller;
        }
        taken
    }

    fn without_names(&mut self) {
        let mut at = 0;
        while at < self.best.head.len() {
            let mut smaller = self.best.clone();
            smaller.head.remove(at);
            if !self.take(smaller) {
                at += 1;
            }
        }
    }

    /// Parts of bytes, from the half down to single ones.
    fn without_parts(&mut self) {
        let mut size = self.best.body.len() / 2;
        while size > 0 {
            let mut at = 0;
            while at + size <= self.best.body.len() && self.runs < RUNS_MAX {
                let mut smaller = self.best.clone();
                smaller.body.drain(at..at + size);
                if !self.take(smaller) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    /// Members and elements of JSON.
    fn without_members(&mut self) {
        let mut at = 0;
        while self.runs < RUNS_MAX {
            let Ok(mut document) = serde_json::from_slice::<Value>(&self.best.body) else {
                return;
            };
            if !remove(&mut document, &mut at.clone()) {
                return;
            }
            let mut smaller = self.best.clone();
            smaller.body = document.to_string().into_bytes();
            if !self.take(smaller) {
                at += 1;
            }
        }
    }
}

/// Removes the member or element that comes `at`th; false when there are not so many.
fn remove(value: &mut Value, at: &mut usize) -> bool {
    match value {
        Value::Array(elements) => {
            for index in 0..elements.len() {
                if *at == 0 {
                    elements.remove(index);
                    return true;
                }
                *at -= 1;
                if remove(&mut elements[index], at) {
                    return true;
                }
            }
            false
        }
        Value::Object(members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            for name in names {
                if *at == 0 {
                    members.remove(&name);
                    return true;
                }
                *at -= 1;
                if members
                    .get_mut(&name)
                    .is_some_and(|inner| remove(inner, at))
                {
                    return true;
                }
            }
            false
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let input = Input::body("x".repeat(5_000) + "bad" + &"y".repeat(300))
            .with("a", "1")
            .with("need", "2");
        let same = |i: &Input| i.text().contains("bad") && i.value("need").is_some();
        assert_eq!(shrunk(&input, same), Input::body("bad").with("need", "2"));
        let json = Input::body(r#"{"a": [1, {"b": "bad", "c": 2}], "d": {}}"#);
        let small = shrunk(&json, |i| {
            serde_json::from_slice::<Value>(&i.body)
                .is_ok_and(|v| v["a"].to_string().contains("bad"))
        });
        assert!(small.len() <= 20, "{}", small.text());
    }
}
