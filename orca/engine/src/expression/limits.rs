//! What one expression may cost. An expression is text from a user: it must never hold up the engine.

/// Characters between `${` and `}`; Spinnaker's own limit.
pub const MAX_EXPRESSION_LENGTH: usize = 10_000;
/// Brackets inside brackets.
pub const MAX_NESTING: usize = 48;
/// Units of work in one expression: one per visited node or element, one per 16 bytes of new text.
pub const MAX_STEPS: u64 = 1_000_000;
/// Bytes of one text, and of one result as JSON.
pub const MAX_RESULT_BYTES: usize = 1 << 20;
/// Characters of one regular expression.
pub const MAX_REGEX_LENGTH: usize = 1_000;
/// Bytes that one compiled regular expression may take.
pub const MAX_REGEX_BYTES: usize = 1 << 20;
/// Templates that one pass over one context evaluates; those after it stay as they are.
pub const MAX_TEMPLATES_PER_PASS: usize = 20_000;
/// Bytes of all results of one pass over one context, as JSON: values that hold themselves double with each pass.
pub const MAX_PASS_BYTES: usize = 4 << 20;
/// Units of work of all expressions of one pass over one context.
pub const MAX_PASS_STEPS: u64 = 10_000_000;
/// Passes over one stage context before a value counts as one that never settles.
pub const MAX_PASSES: usize = 16;
/// Maps and lists inside each other; what lies deeper is left as it is.
pub const MAX_VALUE_DEPTH: usize = 96;
