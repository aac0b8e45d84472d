//! The tree of an expression. Chains of equal rank are flat, so that only brackets make it deep.

use std::rc::Rc;

/// A part of an expression and the byte offset where it starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) position: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeKind {
    Null,
    Bool(bool),
    Int(i32),
    Long(i64),
    Real(f64),
    Text(Rc<str>),
    /// A bare or dotted name.
    Name(Rc<str>),
    /// `#name`.
    Variable(Rc<str>),
    /// `#name(...)`.
    Function(Rc<str>, Vec<Node>),
    /// `name(...)` on what stands before it.
    Method(Rc<str>, Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    /// `T(name)`.
    Type(Rc<str>),
    New(Rc<str>, Vec<Node>),
    Index(Box<Node>),
    Select(Selection, Box<Node>),
    Project(Box<Node>),
    /// A start, then steps that each apply to the result so far.
    Path(Box<Node>, Vec<Step>),
    Not(Box<Node>),
    Sign(bool, Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Chain(Box<Node>, Vec<(Arithmetic, Node)>),
    Compare(Comparison, Box<Node>, Box<Node>),
    Choice(Box<Node>, Box<Node>, Box<Node>),
    Elvis(Box<Node>, Box<Node>),
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// Written `?.`: a null before it makes the whole path null.
    pub(super) safe: bool,
    pub(super) node: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Selection {
    All,
    First,
    Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
}

impl Arithmetic {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Power => "^",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    Between,
    InstanceOf,
}
