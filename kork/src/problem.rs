//! Placeholder, filled by the catalogue.
