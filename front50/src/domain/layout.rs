//! Where objects lie: Spinnaker's keys, and our own records under a root of their own.

use sha2::{Digest, Sha256};

use super::ObjectType;

/// Name of the marker that every write and delete of a group renews.
pub const MARKER: &str = "last-modified.json";

/// The keys under one root folder.
#[derive(Debug, Clone)]
pub struct Layout {
    root: String,
}

impl Layout {
    /// Slashes around the root folder and doubled ones inside are dropped, as in Spinnaker.
    pub fn new(root_folder: &str) -> Self {
        let parts: Vec<&str> = root_folder
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        Self {
            root: parts.join("/"),
        }
    }

    /// Key of an object. Only the id is lower-cased; nothing is escaped.
    pub fn object(&self, of: ObjectType, id: &str) -> String {
        format!(
            "{}/{}/{}/{}",
            self.root,
            of.group(),
            id.to_lowercase(),
            of.file()
        )
    }

    /// Prefix of all objects of a group.
    pub fn group(&self, of: ObjectType) -> String {
        format!("{}/{}/", self.root, of.group())
    }

    /// Key of the group's marker.
    pub fn marker(&self, of: ObjectType) -> String {
        format!("{}/{}/{MARKER}", self.root, of.group())
    }

    /// The lower-cased id in a listed key; `None` for markers, other types and foreign files.
    pub fn id_of<'a>(&self, of: ObjectType, key: &'a str) -> Option<&'a str> {
        let rest = key.strip_prefix(&self.root)?.strip_prefix('/')?;
        let rest = rest.strip_prefix(of.group())?.strip_prefix('/')?;
        let id = rest.strip_suffix(of.file())?.strip_suffix('/')?;
        (!id.is_empty() && !id.contains('/')).then_some(id)
    }

    /// Key of the reservation of a name inside a scope (an application, or empty).
    pub fn name(&self, of: ObjectType, scope: &str, name: &str) -> String {
        let name = digest(&name.to_lowercase());
        let scope = scope.to_lowercase();
        let slash = if scope.is_empty() { "" } else { "/" };
        format!("{}-rs/names/{}/{scope}{slash}{name}", self.root, of.group())
    }

    /// Prefix of the records of finished work.
    pub fn work_prefix(&self) -> String {
        format!("{}-rs/work/", self.root)
    }

    /// Key of the record of one piece of work. The work key has slashes, so it is hashed.
    pub fn work(&self, key: &str) -> String {
        format!("{}{}", self.work_prefix(), digest(key))
    }
}

/// SHA-256 in hexadecimal.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            for half in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(half), 16).unwrap_or('0'));
            }
            hex
        })
}

/// A UUID that is always the same for the same seed: ids that a repeated piece of work gives.
pub fn seeded_uuid(seed: &str) -> String {
    let hex = digest(seed);
    // Version 8 (own scheme), variant 10, so that it is a valid UUID.
    format!(
        "{}-{}-8{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..32]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spinnakers() {
        let layout = Layout::new("//front50/");
        let key = layout.object(ObjectType::Pipeline, "My-Own-ID-1");
        assert_eq!(key, "front50/pipelines/my-own-id-1/pipeline-metadata.json");
        assert_eq!(
            layout.id_of(ObjectType::Pipeline, &key),
            Some("my-own-id-1")
        );
        let account = layout.object(ObjectType::ServiceAccount, "Robot@Managed.example");
        assert_eq!(
            account,
            "front50/serviceAccounts/robot@managed.example/serviceAccount-metadata.json"
        );
        assert_eq!(
            layout.marker(ObjectType::EntityTags),
            "front50/tags/last-modified.json"
        );
    }

    #[test]
    fn foreign_files_have_no_id() {
        let layout = Layout::new("front50");
        for key in [
            "front50/pipelines/last-modified.json",
            "front50/pipelines/x/specification.json",
            "front50/pipelines/pipeline-metadata.json",
            "front50/pipelines/a/b/pipeline-metadata.json",
            "front50/pipelines-old/a/pipeline-metadata.json",
            "other/pipelines/a/pipeline-metadata.json",
        ] {
            assert_eq!(layout.id_of(ObjectType::Pipeline, key), None, "{key}");
        }
        let permission = "front50/applications/shop/application-permission.json";
        assert_eq!(layout.id_of(ObjectType::Application, permission), None);
        assert_eq!(
            layout.id_of(ObjectType::ApplicationPermission, permission),
            Some("shop")
        );
    }

    #[test]
    fn reservations_ignore_case_and_lie_under_their_own_root() {
        let layout = Layout::new("front50");
        let one = layout.name(ObjectType::Pipeline, "Shop", "Deploy");
        assert_eq!(one, layout.name(ObjectType::Pipeline, "shop", "DEPLOY"));
        assert!(one.starts_with("front50-rs/names/pipelines/shop/"), "{one}");
        assert_eq!(one.len(), "front50-rs/names/pipelines/shop/".len() + 64);
    }

    #[test]
    fn a_seeded_uuid_is_a_uuid_and_stable() {
        let id = seeded_uuid("e/s/t/0/1");
        assert_eq!(id, seeded_uuid("e/s/t/0/1"));
        assert_ne!(id, seeded_uuid("e/s/t/0/2"));
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
