//! The route table, and one module per part of the contract.

pub(crate) mod applications;
pub(crate) mod builds;
pub(crate) mod control;
pub(crate) mod diagnosis;
pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod executions;
pub(crate) mod infrastructure;
pub(crate) mod operations;
pub(crate) mod pages;
pub(crate) mod param;
pub(crate) mod pipelines;
pub(crate) mod projects;
pub(crate) mod saving;
pub(crate) mod search;
pub(crate) mod strategies;
pub(crate) mod system;
pub(crate) mod tasks;
pub(crate) mod templates;
mod told;
pub(crate) mod webhooks;

use crate::http::route::Route;

/// Every route of the gateway. What is not here is not served, and not in the document.
pub(crate) static TABLE: [&[Route]; 19] = [
    applications::ROUTES,
    saving::ROUTES,
    pipelines::ROUTES,
    control::ROUTES,
    engine::ROUTES,
    executions::ROUTES,
    strategies::ROUTES,
    tasks::ROUTES,
    templates::ROUTES,
    infrastructure::ROUTES,
    operations::ROUTES,
    projects::ROUTES,
    search::ROUTES,
    webhooks::ROUTES,
    builds::ROUTES,
    events::ROUTES,
    system::ROUTES,
    diagnosis::ROUTES,
    pages::ROUTES,
];

/// The routes of the table, in its order.
pub(crate) fn table() -> impl Iterator<Item = &'static Route> {
    TABLE.iter().copied().flatten()
}
