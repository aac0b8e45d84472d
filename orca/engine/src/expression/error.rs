//! Why an expression has no value. The exception types are Spinnaker's, because clients show them.

/// Which part of the work failed; decides the exception type that the summary shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// `${` without its end, or nothing between the braces.
    Template,
    /// The text between the braces is not an expression.
    Parse,
    /// The expression is well formed, and has no value here.
    Evaluation,
    /// A `#function` refused its arguments or did not find what it was asked for.
    Function,
    /// An argument is outside of what is allowed.
    IllegalArgument,
    /// A text is not a number.
    NumberFormat,
    /// A text is not JSON or YAML.
    Format,
    /// A named limit is passed.
    Limit,
}

impl ErrorKind {
    /// The exception type that clients of Spinnaker know this failure by.
    pub const fn exception_type(self) -> &'static str {
        match self {
            Self::Template => "org.springframework.expression.ParseException",
            Self::Parse => "org.springframework.expression.spel.SpelParseException",
            Self::Evaluation | Self::Limit => {
                "org.springframework.expression.spel.SpelEvaluationException"
            }
            Self::Function => "com.netflix.spinnaker.kork.expressions.SpelHelperFunctionException",
            Self::IllegalArgument => "java.lang.IllegalArgumentException",
            Self::NumberFormat => "java.lang.NumberFormatException",
            Self::Format => "com.fasterxml.jackson.core.JsonParseException",
        }
    }
}

/// An expression that could not be read or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.describe())]
pub struct ExpressionError {
    /// Which part of the work failed.
    pub kind: ErrorKind,
    /// What is wrong.
    pub message: String,
    /// Byte offset inside the expression, where it is known.
    pub position: Option<usize>,
}

impl ExpressionError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            position: None,
        }
    }

    pub(super) fn evaluation(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Evaluation, message)
    }

    pub(super) fn parse(position: usize, message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::Parse,
            message: message.into(),
            position: Some(position),
        }
    }

    pub(super) fn limit(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Limit, message)
    }

    /// Names the place unless a deeper one is already named.
    pub(super) fn at(mut self, position: usize) -> Self {
        self.position.get_or_insert(position);
        self
    }

    fn describe(&self) -> String {
        match self.position {
            Some(position) => format!("{} (at character {position})", self.message),
            None => self.message.clone(),
        }
    }
}

/// Result of every step of an evaluation.
pub(super) type Result<T> = std::result::Result<T, ExpressionError>;
