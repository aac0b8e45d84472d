//! Jobs: what a test sets up, and what a build of it does.

use std::collections::BTreeMap;

/// A declared parameter of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub kind: ParameterKind,
    pub default: String,
    /// Not empty: a choice of these.
    pub choices: Vec<String>,
}

/// What is made of the value of a parameter, and whether it is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ParameterKind {
    #[default]
    Text,
    /// A text whose ends are trimmed.
    Trimmed,
    Choice,
    Boolean,
    /// Its value is not shown.
    Password,
    /// A build of another job, `job#number`; shown as those two.
    Run,
}

impl ParameterKind {
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Text | Self::Trimmed => "String",
            Self::Choice => "Choice",
            Self::Boolean => "Boolean",
            Self::Password => "Password",
            Self::Run => "Run",
        }
    }

    /// The value as it is kept.
    pub(crate) fn kept(self, given: &str) -> String {
        match self {
            Self::Trimmed => given.trim().to_owned(),
            Self::Boolean => given.eq_ignore_ascii_case("true").to_string(),
            Self::Text | Self::Choice | Self::Password | Self::Run => given.to_owned(),
        }
    }
}

impl Parameter {
    /// A parameter of a kind.
    pub fn new(kind: ParameterKind, name: &str, default: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            default: default.to_owned(),
            choices: Vec::new(),
        }
    }

    /// A text parameter.
    pub fn text(name: &str, default: &str) -> Self {
        Self::new(ParameterKind::Text, name, default)
    }

    /// A choice; the first one is the default.
    pub fn choice(name: &str, choices: &[&str]) -> Self {
        let default = choices.first().copied().unwrap_or_default();
        Self {
            choices: choices.iter().map(|&c| c.to_owned()).collect(),
            ..Self::new(ParameterKind::Choice, name, default)
        }
    }
}

/// A repository that a build checks out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    pub remote: String,
    /// As the Git plugin writes it: `refs/remotes/origin/feature/x`, `origin/main`, `detached`.
    pub branch: String,
    pub commit: String,
}

/// How hard a build has to be stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Force {
    #[default]
    Stop,
    Term,
    Kill,
}

/// Numbers of a test report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tests {
    pub total: u64,
    pub failed: u64,
    pub skipped: u64,
}

/// What every build of a job does. Times are in milliseconds of the double's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Until the result is fixed and `building` becomes false.
    pub duration_ms: u64,
    /// How long `inProgress` stays true after that.
    pub finalize_ms: u64,
    /// The result is shown so long before the end; pipelines set it early.
    pub result_early_ms: u64,
    pub result: String,
    pub console: String,
    pub artifacts: BTreeMap<String, Vec<u8>>,
    pub checkouts: Vec<Checkout>,
    pub tests: Option<Tests>,
    /// The mildest way of stopping that ends it.
    pub stopped_by: Force,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            duration_ms: 60_000,
            finalize_ms: 2_000,
            result_early_ms: 0,
            result: "SUCCESS".to_owned(),
            console: "Started by user igor\nFinished\n".to_owned(),
            artifacts: BTreeMap::new(),
            checkouts: Vec::new(),
            tests: None,
            stopped_by: Force::Stop,
        }
    }
}

/// What kind of thing a path names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    Folder,
    /// A folder whose children are branches.
    Multibranch,
    Freestyle,
    #[default]
    Pipeline,
}

impl Kind {
    /// True for what has `jobs` and no `builds`.
    pub const fn is_folder(self) -> bool {
        matches!(self, Self::Folder | Self::Multibranch)
    }

    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Folder => "com.cloudbees.hudson.plugins.folder.Folder",
            Self::Multibranch => {
                "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject"
            }
            Self::Freestyle => "hudson.model.FreeStyleProject",
            Self::Pipeline => "org.jenkinsci.plugins.workflow.job.WorkflowJob",
        }
    }

    pub(crate) const fn build_class(self) -> &'static str {
        match self {
            Self::Freestyle => "hudson.model.FreeStyleBuild",
            Self::Folder | Self::Multibranch | Self::Pipeline => {
                "org.jenkinsci.plugins.workflow.job.WorkflowRun"
            }
        }
    }
}

/// A job or a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Job {
    pub kind: Kind,
    pub parameters: Vec<Parameter>,
    pub script: Script,
    pub disabled: bool,
    /// A queue decision handler vetoes every start.
    pub vetoed: bool,
    /// There, but not for the users of the API.
    pub hidden: bool,
    /// Two builds may run at once.
    pub concurrent: bool,
    /// Items wait so long before they may start.
    pub quiet_ms: u64,
    /// The number of the next build.
    pub next_number: u64,
}

impl Job {
    /// A pipeline job without parameters and with the usual quiet period of five seconds.
    pub fn pipeline() -> Self {
        Self {
            concurrent: true,
            quiet_ms: 5_000,
            next_number: 1,
            ..Self::default()
        }
    }

    /// A folder of `kind`.
    pub fn folder(kind: Kind) -> Self {
        Self {
            kind,
            ..Self::pipeline()
        }
    }

    /// With these declared parameters.
    #[must_use]
    pub fn with_parameters(mut self, parameters: &[Parameter]) -> Self {
        self.parameters = parameters.to_vec();
        self
    }

    /// With builds that do this.
    #[must_use]
    pub fn with_script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }
}
