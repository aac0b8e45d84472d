//! What is listened to and looked at, with how it goes.

use kork_model::Context;
use serde_json::json;

use super::Igor;

impl Igor {
    /// Senders, CI servers, registries and repositories: name, type, last delivery, last look, error.
    pub(crate) fn sources(&self) -> Vec<Context> {
        let accounts = self.accounts.now();
        let mut all: Vec<Context> = Vec::new();
        if let Some(wrong) = self.accounts.wrong() {
            all.push(Context::from_iter([
                ("name".to_owned(), json!("accountsFile")),
                ("type".to_owned(), json!("configuration")),
                ("error".to_owned(), json!(wrong)),
            ]));
        }
        for source in &accounts.sources {
            all.push(Context::from_iter([
                ("name".to_owned(), json!(source.name)),
                ("type".to_owned(), json!("sender")),
                (
                    "lastDelivery".to_owned(),
                    json!(self.history.last_of(&source.name)),
                ),
            ]));
        }
        all.extend(self.controllers());
        all.extend(self.polls.shown());
        all
    }
}
