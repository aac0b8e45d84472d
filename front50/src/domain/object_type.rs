//! The kinds of objects in the bucket, in Spinnaker's words.

/// A kind of stored object. The bucket layout ([`super::layout`]) is Spinnaker's for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectType {
    Application,
    ApplicationPermission,
    Pipeline,
    Strategy,
    PipelineTemplate,
    Notification,
    Project,
    ServiceAccount,
    Snapshot,
    EntityTags,
    Delivery,
    PluginInfo,
    PluginVersions,
}

impl ObjectType {
    /// All of them, in the order in which they are loaded.
    pub const ALL: [Self; 13] = [
        Self::Application,
        Self::ApplicationPermission,
        Self::Pipeline,
        Self::Strategy,
        Self::PipelineTemplate,
        Self::Notification,
        Self::Project,
        Self::ServiceAccount,
        Self::Snapshot,
        Self::EntityTags,
        Self::Delivery,
        Self::PluginInfo,
        Self::PluginVersions,
    ];

    /// Folder under the root folder.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Application | Self::ApplicationPermission => "applications",
            Self::Pipeline => "pipelines",
            Self::Strategy => "pipeline-strategies",
            Self::PipelineTemplate => "pipeline-templates",
            Self::Notification => "notifications",
            Self::Project => "projects",
            Self::ServiceAccount => "serviceAccounts",
            Self::Snapshot => "snapshots",
            Self::EntityTags => "tags",
            Self::Delivery => "delivery",
            Self::PluginInfo => "pluginInfo",
            Self::PluginVersions => "pluginVersions",
        }
    }

    /// Name of the object inside the folder of its id.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Application => "application-metadata.json",
            Self::ApplicationPermission => "application-permission.json",
            Self::Pipeline => "pipeline-metadata.json",
            Self::Strategy => "pipeline-strategy-metadata.json",
            Self::PipelineTemplate => "pipeline-template-metadata.json",
            Self::Notification => "notification-metadata.json",
            Self::Project => "project-metadata.json",
            Self::ServiceAccount => "serviceAccount-metadata.json",
            Self::Snapshot => "snapshot.json",
            Self::EntityTags => "entity-tags-metadata.json",
            Self::Delivery => "delivery-metadata.json",
            Self::PluginInfo => "plugin-info-metadata.json",
            Self::PluginVersions => "plugin-versions-metadata.json",
        }
    }

    /// The word in events (`front50:<word>:updated`), messages and the request `objects.list`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::ApplicationPermission => "permission",
            Self::Pipeline => "pipeline",
            Self::Strategy => "strategy",
            Self::PipelineTemplate => "pipelineTemplate",
            Self::Notification => "notification",
            Self::Project => "project",
            Self::ServiceAccount => "serviceAccount",
            Self::Snapshot => "snapshot",
            Self::EntityTags => "entityTags",
            Self::Delivery => "delivery",
            Self::PluginInfo => "pluginInfo",
            Self::PluginVersions => "pluginVersions",
        }
    }

    /// The type with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|each| each.word() == word)
    }
}
