//! An application as clients read it: what front50 stores, with what runs.

use std::collections::{BTreeMap, BTreeSet};

use kork_model::Context;
use serde_json::{Value, json};

/// Accounts by application name (lower case), out of the server groups of all applications.
pub(crate) fn accounts_of(server_groups: &[Context]) -> BTreeMap<String, BTreeSet<String>> {
    let mut accounts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for group in server_groups {
        let moniker = group.get("moniker").and_then(|moniker| moniker.get("app"));
        let application = moniker
            .or_else(|| group.get("application"))
            .and_then(Value::as_str);
        let account = group.get("account").and_then(Value::as_str);
        if let (Some(application), Some(account)) = (application, account) {
            accounts
                .entry(application.to_lowercase())
                .or_default()
                .insert(account.to_owned());
        }
    }
    accounts
}

/// The flat object of a list: keys of front50 win, absent values are left out, the name is in lower
/// case, `accounts` has the accounts in which something runs.
pub(crate) fn attributes(name: &str, stored: Context, accounts: &BTreeSet<String>) -> Context {
    let mut flat: Context = stored
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    flat.insert("name".to_owned(), name.to_lowercase().into());
    if !accounts.is_empty() && !flat.contains_key("accounts") {
        let joined = accounts
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(",");
        flat.insert("accounts".to_owned(), joined.into());
    }
    flat
}

/// The object of one application.
pub(crate) fn single(attributes: &Context, clusters: &Context) -> Value {
    json!({"name": attributes.get("name"), "attributes": attributes, "clusters": clusters})
}

/// `{account: [name, ...]}` out of `{account: [cluster, ...]}`; clusters are names or objects.
pub(crate) fn cluster_names(clusters: &Context) -> Context {
    clusters
        .iter()
        .map(|(account, clusters)| {
            let names = clusters.as_array().into_iter().flatten();
            let names = names.map(|cluster| cluster.get("name").unwrap_or(cluster).clone());
            (account.clone(), names.collect())
        })
        .collect()
}

/// True when the application is shown under these filters.
pub(crate) fn shown(flat: &Context, owner: Option<&str>, account: Option<&str>) -> bool {
    let text = |key: &str| flat.get(key).and_then(Value::as_str).unwrap_or_default();
    let by_owner = owner.is_none_or(|owner| text("email").eq_ignore_ascii_case(owner));
    let mut accounts = text("accounts").split(',').map(str::trim);
    by_owner && account.is_none_or(|account| accounts.any(|a| a.eq_ignore_ascii_case(account)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Context {
        match value {
            Value::Object(object) => object,
            other => panic!("{other} is not an object"),
        }
    }

    #[test]
    fn names_are_lower_case_and_nulls_are_left_out() {
        let running = [object(
            json!({"account": "local", "moniker": {"app": "Shop"}}),
        )];
        let accounts = accounts_of(&running);
        let flat = attributes(
            "SHOP",
            object(json!({"name": "SHOP", "createTs": null, "own": [null]})),
            &accounts["shop"],
        );
        assert_eq!(
            Value::Object(flat.clone()),
            json!({"name": "shop", "own": [null], "accounts": "local"})
        );
        assert!(shown(&flat, None, Some("LOCAL")));
        assert!(!shown(&flat, Some("a@b"), None));
    }

    #[test]
    fn cluster_names_come_from_names_and_objects() {
        let names = cluster_names(&object(
            json!({"a": ["x", {"name": "y", "n": 1}], "b": null}),
        ));
        assert_eq!(Value::Object(names), json!({"a": ["x", "y"], "b": []}));
    }
}
