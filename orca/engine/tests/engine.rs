//! The engine from outside: tables of what must happen, and properties that hold for any pipeline.

mod engine {
    mod admission;
    mod artifacts;
    mod building;
    pub(crate) mod check;
    mod control;
    pub(crate) mod driver;
    mod every_node;
    mod flow;
    mod limits;
    mod properties;
    mod restart;
    mod synthetic;
    mod time;
    mod variables;
}
