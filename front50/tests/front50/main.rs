//! The service as its neighbours see it: over the bus, on a real store, in memory and in a
//! directory, alone and with a second instance beside it.

mod golden;
mod layout;
mod pipelines;
mod races;
mod rig;
mod tasks;
mod templates;
