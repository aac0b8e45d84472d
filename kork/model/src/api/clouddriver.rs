//! What clouddriver answers: accounts and the live inventory. Shapes are those of Spinnaker's views.

use serde_json::Value;

use crate::{Context, api::call};

call!(repeat "clouddriver", "credentials.list",
/// Accounts: `{name, type, accountType, environment, cloudProvider, permissions, requiredGroupMembership, ...}`.
ListCredentials { expand: bool } -> Vec<Context>);
call!(repeat "clouddriver", "credentials.get",
/// One account.
GetCredentials { account: String } -> Context);
call!(repeat "clouddriver", "clusters.list",
/// `{account: [cluster, ...]}` of an application.
ListClusters { application: String } -> Context);
call!(repeat "clouddriver", "clusters.get",
/// One cluster with its server groups.
GetCluster { application: String, account: String, cluster: String } -> Context);
call!(repeat "clouddriver", "serverGroups.list",
/// Server groups of an application, or of all when it is empty.
ListServerGroups { application: String } -> Vec<Context>);
call!(repeat "clouddriver", "serverGroups.get",
/// One server group with its instances.
GetServerGroup { application: String, account: String, region: String, name: String } -> Context);
call!(repeat "clouddriver", "loadBalancers.list",
/// Listeners of the built-in proxy that belong to an application (all when empty), with their address and server groups.
ListLoadBalancers { application: String } -> Vec<Context>);
call!(repeat "clouddriver", "instances.get",
/// One instance.
GetInstance { account: String, region: String, id: String } -> Context);
call!(repeat "clouddriver", "instances.console",
/// Last lines of an instance's output: `{output: [{name, output}]}`.
GetConsole { account: String, region: String, id: String, lines: u32, previous: bool } -> Context);
call!(repeat "clouddriver", "serverGroups.logs",
/// Last lines of every instance of a server group: `[{instance, time, stream, line}]`, oldest first.
ServerGroupLogs { application: String, account: String, region: String, name: String, lines: u32 } -> Vec<Context>);
call!(repeat "clouddriver", "operations.plan",
/// What an operation would do, step by step, without doing it: `{steps: [{action, ...}], problems: [...]}`.
PlanOperation { kind: String, payload: Context, application: String } -> Context);
call!(repeat "clouddriver", "artifacts.accounts",
/// Artifact accounts: `[{name, types}]`.
ListArtifactAccounts {} -> Vec<Context>);
call!(repeat "clouddriver", "artifacts.fetch",
/// Bytes of an artifact, base64, with their sha256: `{content, sha256}`.
FetchArtifact { artifact: Context } -> Value);
