//! What can be wrong with a schedule.

/// Why an expression or a time zone is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "`{text}` has {found} fields; a cron expression has six or seven: second minute hour day-of-month month day-of-week [year]{hint}"
    )]
    FieldCount {
        text: String,
        found: usize,
        hint: String,
    },
    #[error("the {field} `{text}` is wrong: {problem}; allowed are {allowed}")]
    Field {
        field: &'static str,
        text: String,
        problem: String,
        allowed: &'static str,
    },
    #[error("day of month is `{month}` and day of week is `{week}`; one of the two has to be `?`")]
    Days { month: String, week: String },
    #[error("the expression is longer than {max} bytes")]
    Length { max: usize },
    #[error("`{zone}` is no time zone; use a name like `Europe/Berlin` or `UTC`")]
    Zone { zone: String, source: jiff::Error },
}
