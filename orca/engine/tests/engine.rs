//! The engine from outside: tables of what must happen, and properties that hold for any pipeline.

mod engine {
    pub(crate) mod driver;
    mod every_node;
    mod properties;
    mod tables;
}
