//! `gennaker stage`: the stage types.

use super::{columns, items};
use crate::{
    args::StageCommand,
    client::{Client, Failure},
    exit::Exit,
    output::{Out, Table, member},
};

pub(super) async fn run(
    client: &Client,
    command: &StageCommand,
    out: &Out,
) -> Result<Exit, Failure> {
    match command {
        StageCommand::List => {
            let all = client.list(&["stages"], &[]).await?;
            out.data(&all, |paint| {
                let mut table = Table::new(
                    &["TYPE", "ALIASES", "DESCRIPTION"],
                    "this suite has no stage types",
                );
                for one in items(&all) {
                    table.row(["type", "aliases", "description"].map(|key| member(one, key)));
                }
                table.render(paint, columns(out))
            });
        }
    }
    Ok(Exit::Success)
}
