//! Tokens to a tree, by recursive descent with Spring's ranks of operators.

use std::rc::Rc;

use super::ast::{Arithmetic, Comparison, Node, NodeKind, Selection, Step};
use super::error::{ExpressionError, Result};
use super::lexer::{Token, TokenKind, tokenize};
use super::limits::{MAX_EXPRESSION_LENGTH, MAX_NESTING};

/// Reads one expression without `${` and `}`.
pub(super) fn parse(text: &str) -> Result<Node> {
    let length = text.chars().count();
    if length > MAX_EXPRESSION_LENGTH {
        return Err(ExpressionError::limit(format!(
            "the expression has {length} characters, more than {MAX_EXPRESSION_LENGTH}"
        )));
    }
    let mut parser = Parser {
        tokens: tokenize(text)?,
        next: 0,
        depth: 0,
    };
    let node = parser.expression()?;
    match parser.peek() {
        TokenKind::End => Ok(node),
        other => Err(parser.error(format!(
            "{} comes after the end of the expression",
            show(other)
        ))),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

fn show(kind: &TokenKind) -> String {
    match kind {
        TokenKind::Int(value) => value.to_string(),
        TokenKind::Long(value) => value.to_string(),
        TokenKind::Real(value) => value.to_string(),
        TokenKind::Text(value) => format!("the text '{value}'"),
        TokenKind::Word(value) => format!("'{value}'"),
        TokenKind::Symbol(value) => format!("'{value}'"),
        TokenKind::End => "the end".to_owned(),
    }
}

impl Parser {
    fn peek(&self) -> &TokenKind {
        &self.tokens[self.next].kind
    }

    fn position(&self) -> usize {
        self.tokens[self.next].position
    }

    fn error(&self, message: impl Into<String>) -> ExpressionError {
        ExpressionError::parse(self.position(), message)
    }

    fn advance(&mut self) {
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
    }

    fn at(&self, symbol: &str) -> bool {
        matches!(self.peek(), TokenKind::Symbol(s) if *s == symbol)
    }

    fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), TokenKind::Word(w) if w.eq_ignore_ascii_case(word))
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.at(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn eat_either(&mut self, symbol: &str, word: &str) -> bool {
        let found = self.at(symbol) || self.at_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.eat(symbol) {
            return Ok(());
        }
        Err(self.error(format!(
            "expected '{symbol}' but found {}",
            show(self.peek())
        )))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_NESTING {
            let message = format!("more than {MAX_NESTING} brackets inside each other");
            return Err(ExpressionError::limit(message).at(self.position()));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Result<Node> {
        self.deeper(|parser| {
            let position = parser.position();
            let first = parser.or()?;
            if parser.at("=") {
                return Err(parser.error("values cannot be changed; use == to compare"));
            }
            if parser.eat("?:") {
                let other = parser.expression()?;
                return Ok(Node {
                    kind: NodeKind::Elvis(Box::new(first), Box::new(other)),
                    position,
                });
            }
            if parser.eat("?") {
                let yes = parser.expression()?;
                parser.expect(":")?;
                let no = parser.expression()?;
                let kind = NodeKind::Choice(Box::new(first), Box::new(yes), Box::new(no));
                return Ok(Node { kind, position });
            }
            Ok(first)
        })
    }

    fn or(&mut self) -> Result<Node> {
        let position = self.position();
        let mut nodes = vec![self.and()?];
        while self.eat_either("||", "or") {
            nodes.push(self.and()?);
        }
        Ok(single_or(nodes, NodeKind::Or, position))
    }

    fn and(&mut self) -> Result<Node> {
        let position = self.position();
        let mut nodes = vec![self.relation()?];
        while self.eat_either("&&", "and") {
            nodes.push(self.relation()?);
        }
        Ok(single_or(nodes, NodeKind::And, position))
    }

    fn relation(&mut self) -> Result<Node> {
        let position = self.position();
        let left = self.sum()?;
        let Some(operator) = self.comparison() else {
            return Ok(left);
        };
        self.advance();
        let right = self.sum()?;
        let kind = NodeKind::Compare(operator, Box::new(left), Box::new(right));
        Ok(Node { kind, position })
    }

    fn comparison(&self) -> Option<Comparison> {
        let word;
        let text = match self.peek() {
            TokenKind::Symbol(symbol) => *symbol,
            TokenKind::Word(w) => {
                word = w.to_ascii_lowercase();
                word.as_str()
            }
            _ => return None,
        };
        Some(match text {
            "==" | "eq" => Comparison::Equal,
            "!=" | "ne" => Comparison::NotEqual,
            "<" | "lt" => Comparison::Less,
            "<=" | "le" => Comparison::LessOrEqual,
            ">" | "gt" => Comparison::Greater,
            ">=" | "ge" => Comparison::GreaterOrEqual,
            "matches" => Comparison::Matches,
            "between" => Comparison::Between,
            "instanceof" => Comparison::InstanceOf,
            _ => return None,
        })
    }

    fn sum(&mut self) -> Result<Node> {
        let position = self.position();
        let first = self.product()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.peek() {
                TokenKind::Symbol("+") => Arithmetic::Add,
                TokenKind::Symbol("-") => Arithmetic::Subtract,
                TokenKind::Symbol("++" | "--") => {
                    return Err(self.error("values cannot be changed with ++ or --"));
                }
                _ => break,
            };
            self.advance();
            rest.push((operator, self.product()?));
        }
        Ok(chain(first, rest, position))
    }

    fn product(&mut self) -> Result<Node> {
        let position = self.position();
        let first = self.power()?;
        let mut rest = Vec::new();
        loop {
            let operator = if self.eat("*") {
                Arithmetic::Multiply
            } else if self.eat_either("/", "div") {
                Arithmetic::Divide
            } else if self.eat_either("%", "mod") {
                Arithmetic::Remainder
            } else {
                break;
            };
            rest.push((operator, self.power()?));
        }
        Ok(chain(first, rest, position))
    }

    fn power(&mut self) -> Result<Node> {
        let position = self.position();
        let base = self.unary()?;
        if !self.eat("^") {
            return Ok(base);
        }
        let exponent = self.unary()?;
        Ok(chain(base, vec![(Arithmetic::Power, exponent)], position))
    }

    fn unary(&mut self) -> Result<Node> {
        let position = self.position();
        let kind = if self.eat_either("!", "not") {
            NodeKind::Not(Box::new(self.deeper(Self::unary)?))
        } else if self.eat("-") {
            NodeKind::Sign(true, Box::new(self.deeper(Self::unary)?))
        } else if self.eat("+") {
            NodeKind::Sign(false, Box::new(self.deeper(Self::unary)?))
        } else {
            return self.path();
        };
        Ok(Node { kind, position })
    }

    fn path(&mut self) -> Result<Node> {
        let position = self.position();
        let start = self.start()?;
        let mut steps = Vec::new();
        loop {
            let safe = self.at("?.");
            if self.at("[") {
                steps.push(Step {
                    safe: false,
                    node: self.index()?,
                });
            } else if safe || self.at(".") {
                self.advance();
                steps.push(Step {
                    safe,
                    node: self.dotted()?,
                });
            } else if let Some(node) = self.collection_step()? {
                // The dot before a selection is usual, and may be missing.
                steps.push(Step { safe: false, node });
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Ok(start);
        }
        Ok(Node {
            kind: NodeKind::Path(Box::new(start), steps),
            position,
        })
    }

    fn dotted(&mut self) -> Result<Node> {
        if let Some(node) = self.collection_step()? {
            return Ok(node);
        }
        let position = self.position();
        let TokenKind::Word(word) = self.peek().clone() else {
            return Err(self.error(format!("expected a name but found {}", show(self.peek()))));
        };
        self.advance();
        self.name_or_method(word, position)
    }

    fn name_or_method(&mut self, word: String, position: usize) -> Result<Node> {
        let name = Rc::from(word);
        let kind = if self.at("(") {
            NodeKind::Method(name, self.arguments()?)
        } else {
            NodeKind::Name(name)
        };
        Ok(Node { kind, position })
    }

    fn collection_step(&mut self) -> Result<Option<Node>> {
        let position = self.position();
        let selection = match self.peek() {
            TokenKind::Symbol("![") => None,
            TokenKind::Symbol("?[") => Some(Selection::All),
            TokenKind::Symbol("^[") => Some(Selection::First),
            TokenKind::Symbol("$[") => Some(Selection::Last),
            _ => return Ok(None),
        };
        self.advance();
        let inner = Box::new(self.expression()?);
        self.expect("]")?;
        let kind = match selection {
            Some(which) => NodeKind::Select(which, inner),
            None => NodeKind::Project(inner),
        };
        Ok(Some(Node { kind, position }))
    }

    fn index(&mut self) -> Result<Node> {
        let position = self.position();
        self.expect("[")?;
        let inner = self.expression()?;
        self.expect("]")?;
        Ok(Node {
            kind: NodeKind::Index(Box::new(inner)),
            position,
        })
    }

    fn arguments(&mut self) -> Result<Vec<Node>> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if self.eat(")") {
                return Ok(arguments);
            }
            self.expect(",")?;
        }
    }

    fn start(&mut self) -> Result<Node> {
        let position = self.position();
        if let Some(node) = self.collection_step()? {
            return Ok(node);
        }
        let kind = match self.peek().clone() {
            TokenKind::Int(value) => NodeKind::Int(value),
            TokenKind::Long(value) => NodeKind::Long(value),
            TokenKind::Real(value) => NodeKind::Real(value),
            TokenKind::Text(value) => NodeKind::Text(Rc::from(value)),
            TokenKind::Word(word) => {
                self.advance();
                return self.word(word, position);
            }
            TokenKind::Symbol("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            TokenKind::Symbol("{") => return self.list_or_map(),
            TokenKind::Symbol("[") => return self.index(),
            TokenKind::Symbol("#") => {
                self.advance();
                return self.variable(position);
            }
            TokenKind::Symbol("@" | "&") => {
                return Err(self.error("beans are not available in expressions"));
            }
            TokenKind::End => return Err(self.error("the expression ends too early")),
            other @ TokenKind::Symbol(_) => {
                return Err(self.error(format!("{} cannot stand here", show(&other))));
            }
        };
        self.advance();
        Ok(Node { kind, position })
    }

    fn word(&mut self, word: String, position: usize) -> Result<Node> {
        let kind = match word.to_ascii_lowercase().as_str() {
            "true" if !self.at("(") => NodeKind::Bool(true),
            "false" if !self.at("(") => NodeKind::Bool(false),
            "null" if !self.at("(") => NodeKind::Null,
            "new" if matches!(self.peek(), TokenKind::Word(_)) => {
                return self.constructor(position);
            }
            "t" if word == "T" && self.at("(") => {
                self.advance();
                let name = self.type_name()?;
                self.expect(")")?;
                NodeKind::Type(Rc::from(name))
            }
            _ => return self.name_or_method(word, position),
        };
        Ok(Node { kind, position })
    }

    fn variable(&mut self, position: usize) -> Result<Node> {
        let TokenKind::Word(word) = self.peek().clone() else {
            return Err(self.error("expected the name of a function after '#'"));
        };
        self.advance();
        let name = Rc::from(word);
        let kind = if self.at("(") {
            NodeKind::Function(name, self.arguments()?)
        } else {
            NodeKind::Variable(name)
        };
        Ok(Node { kind, position })
    }

    fn type_name(&mut self) -> Result<String> {
        let mut name = String::new();
        loop {
            let TokenKind::Word(word) = self.peek().clone() else {
                return Err(self.error("expected the name of a type"));
            };
            self.advance();
            name.push_str(&word);
            if !self.eat(".") {
                break;
            }
            name.push('.');
        }
        if self.at("[") {
            return Err(self.error("arrays are not available in expressions; use a list {1,2}"));
        }
        Ok(name)
    }

    fn constructor(&mut self, position: usize) -> Result<Node> {
        let name = Rc::from(self.type_name()?);
        let arguments = self.arguments()?;
        Ok(Node {
            kind: NodeKind::New(name, arguments),
            position,
        })
    }

    /// `{}` and `{1,2}` are lists, `{:}` and `{a: 1}` are maps.
    fn list_or_map(&mut self) -> Result<Node> {
        let position = self.position();
        self.expect("{")?;
        if self.eat("}") {
            return Ok(Node {
                kind: NodeKind::List(Vec::new()),
                position,
            });
        }
        if self.eat(":") {
            self.expect("}")?;
            return Ok(Node {
                kind: NodeKind::Map(Vec::new()),
                position,
            });
        }
        let first = self.expression()?;
        if self.eat(":") {
            return self.map(first, position);
        }
        let mut items = vec![first];
        while !self.eat("}") {
            self.expect(",")?;
            items.push(self.expression()?);
        }
        Ok(Node {
            kind: NodeKind::List(items),
            position,
        })
    }

    fn map(&mut self, first: Node, position: usize) -> Result<Node> {
        let mut entries = vec![(first, self.expression()?)];
        while !self.eat("}") {
            self.expect(",")?;
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
        }
        Ok(Node {
            kind: NodeKind::Map(entries),
            position,
        })
    }
}

fn single_or(mut nodes: Vec<Node>, many: fn(Vec<Node>) -> NodeKind, position: usize) -> Node {
    if nodes.len() > 1 {
        return Node {
            kind: many(nodes),
            position,
        };
    }
    nodes.pop().expect("the caller pushed at least one node")
}

fn chain(first: Node, rest: Vec<(Arithmetic, Node)>, position: usize) -> Node {
    if rest.is_empty() {
        return first;
    }
    Node {
        kind: NodeKind::Chain(Box::new(first), rest),
        position,
    }
}
