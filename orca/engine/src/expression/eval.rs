//! Walks the tree of an expression and makes its value, counting every step.

use std::cell::Cell;
use std::rc::Rc;

use kork_model::Context;

use super::Scope;
use super::ast::{Arithmetic, Comparison, Node, NodeKind, Selection, Step};
use super::compare::{equal, order, truth};
use super::error::{ExpressionError, Result};
use super::limits::{MAX_RESULT_BYTES, MAX_STEPS};
use super::value::{Text, Val};
use super::{functions, methods, number, pattern, property, types};

/// One expression under evaluation.
pub(super) struct Evaluator<'a> {
    pub(super) scope: &'a Scope<'a>,
    /// Keys that hide those of the scope's root: the stage's own, between two passes.
    pub(super) own: Option<&'a Context>,
    steps: Cell<u64>,
    random: Cell<u64>,
}

/// What names mean at one place of an expression.
#[derive(Clone)]
pub(super) struct Frame<'a> {
    /// Bare names and `#this`.
    active: Val<'a>,
    /// Arguments of methods: the element inside a selection or projection, else the root.
    element: Val<'a>,
}

impl<'a> Frame<'a> {
    pub(super) const fn root() -> Self {
        Self {
            active: Val::Root,
            element: Val::Root,
        }
    }

    fn of_element(element: &Val<'a>) -> Self {
        Self {
            active: element.clone(),
            element: element.clone(),
        }
    }
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, own: Option<&'a Context>) -> Self {
        Self {
            scope,
            own,
            steps: Cell::new(0),
            random: Cell::new(0),
        }
    }

    /// Value of a whole expression.
    pub(super) fn run(&self, node: &Node) -> Result<Val<'a>> {
        self.eval(node, &Frame::root())
    }

    /// Units of work so far.
    pub(super) fn spent(&self) -> u64 {
        self.steps.get()
    }

    /// Counts work; an expression that takes too much of it ends here.
    pub(super) fn spend(&self, steps: usize) -> Result<()> {
        let spent = self.steps.get().saturating_add(steps as u64);
        self.steps.set(spent);
        if spent > MAX_STEPS {
            return Err(ExpressionError::limit(format!(
                "the expression takes more than {MAX_STEPS} steps"
            )));
        }
        Ok(())
    }

    /// A new text, if it is not too long.
    pub(super) fn text(&self, text: impl Into<String>) -> Result<Val<'a>> {
        let text = text.into();
        self.room_for(text.len())?;
        Ok(Val::text(text))
    }

    /// Asks before a text of that many bytes is made.
    pub(super) fn room_for(&self, bytes: usize) -> Result<()> {
        if bytes > MAX_RESULT_BYTES {
            return Err(ExpressionError::limit(format!(
                "a text would be longer than {MAX_RESULT_BYTES} bytes"
            )));
        }
        self.spend(1 + bytes / 16)
    }

    /// Numbers that look random, and are the same again when the same moment is replayed.
    pub(super) fn random(&self) -> u64 {
        let count = self.random.get().wrapping_add(1);
        self.random.set(count);
        let stage = self.scope.stage.map_or("", |stage| stage.ref_id.as_str());
        let key = format!(
            "{}/{}/{}/{count}",
            self.scope.execution.id, stage, self.scope.now
        );
        // FNV-1a spreads the key, splitmix64 mixes the bits.
        let seed = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn eval(&self, node: &Node, frame: &Frame<'a>) -> Result<Val<'a>> {
        self.spend(1)?;
        self.eval_kind(node, frame).map_err(|e| e.at(node.position))
    }

    fn eval_kind(&self, node: &Node, frame: &Frame<'a>) -> Result<Val<'a>> {
        match &node.kind {
            NodeKind::Null => Ok(Val::Null),
            NodeKind::Bool(value) => Ok(Val::Bool(*value)),
            NodeKind::Int(value) => Ok(Val::Int(*value)),
            NodeKind::Long(value) => Ok(Val::Long(*value)),
            NodeKind::Real(value) => Ok(Val::Double(*value)),
            NodeKind::Text(text) => Ok(Val::Text(Text::Owned(Rc::clone(text)))),
            NodeKind::Variable(name) => Ok(match &**name {
                "root" => Val::Root,
                "this" => frame.active.clone(),
                _ => Val::Null,
            }),
            NodeKind::Function(name, arguments) => {
                let arguments = self.all(arguments, frame)?;
                functions::call(self, name, &arguments)
            }
            NodeKind::List(items) => Ok(Val::list(self.all(items, frame)?)),
            NodeKind::Map(entries) => self.map(entries, frame),
            NodeKind::Type(name) => types::JavaType::find(name).map(Val::Class),
            NodeKind::New(name, arguments) => {
                let java = types::JavaType::find(name)?;
                types::construct(self, java, &self.all(arguments, frame)?)
            }
            NodeKind::Name(_)
            | NodeKind::Method(..)
            | NodeKind::Index(_)
            | NodeKind::Select(..)
            | NodeKind::Project(_) => self.step(&frame.active, node, frame),
            NodeKind::Path(start, steps) => self.path(start, steps, frame),
            NodeKind::Not(inner) => Ok(Val::Bool(!truth(&self.eval(inner, frame)?)?)),
            NodeKind::Sign(negative, inner) => sign(*negative, &self.eval(inner, frame)?),
            NodeKind::And(nodes) => self.logic(nodes, frame, false),
            NodeKind::Or(nodes) => self.logic(nodes, frame, true),
            NodeKind::Chain(first, rest) => {
                let mut value = self.eval(first, frame)?;
                for (operator, node) in rest {
                    let right = self.eval(node, frame)?;
                    value = self.arithmetic(*operator, &value, &right)?;
                }
                Ok(value)
            }
            NodeKind::Compare(operator, left, right) => {
                let left = self.eval(left, frame)?;
                let right = self.eval(right, frame)?;
                self.compare(*operator, &left, &right).map(Val::Bool)
            }
            NodeKind::Choice(condition, yes, no) => {
                let chosen = if truth(&self.eval(condition, frame)?)? {
                    yes
                } else {
                    no
                };
                self.eval(chosen, frame)
            }
            NodeKind::Elvis(first, other) => match self.eval(first, frame)? {
                Val::Null => self.eval(other, frame),
                Val::Text(text) if text.is_empty() => self.eval(other, frame),
                value => Ok(value),
            },
        }
    }

    fn all(&self, nodes: &[Node], frame: &Frame<'a>) -> Result<Vec<Val<'a>>> {
        nodes.iter().map(|node| self.eval(node, frame)).collect()
    }

    /// A bare name as the key of a map is that name, not what it stands for.
    fn map(&self, entries: &[(Node, Node)], frame: &Frame<'a>) -> Result<Val<'a>> {
        let mut made: Vec<(Text<'a>, Val<'a>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let key = match &key.kind {
                NodeKind::Name(name) => Text::Owned(Rc::clone(name)),
                _ => key_text(self.eval(key, frame)?),
            };
            let value = self.eval(value, frame)?;
            match made.iter_mut().find(|(other, _)| **other == *key) {
                Some(entry) => entry.1 = value,
                None => made.push((key, value)),
            }
        }
        Ok(Val::map(made))
    }

    fn path(&self, start: &Node, steps: &[Step], frame: &Frame<'a>) -> Result<Val<'a>> {
        let mut value = self.eval(start, frame)?;
        for Step { safe, node } in steps {
            if *safe && value.is_null() {
                return Ok(Val::Null);
            }
            self.spend(1)?;
            value = self
                .step(&value, node, frame)
                .map_err(|e| e.at(node.position))?;
        }
        Ok(value)
    }

    fn step(&self, target: &Val<'a>, node: &Node, frame: &Frame<'a>) -> Result<Val<'a>> {
        match &node.kind {
            NodeKind::Name(name) => property::read(self, target, name),
            NodeKind::Method(name, arguments) => {
                let inner = Frame {
                    active: frame.element.clone(),
                    ..frame.clone()
                };
                let arguments = self.all(arguments, &inner)?;
                methods::call(self, target, name, &arguments)
            }
            NodeKind::Index(index) => {
                let index = match &index.kind {
                    NodeKind::Name(name) if property::is_map(target) => {
                        Val::Text(Text::Owned(Rc::clone(name)))
                    }
                    _ => self.eval(
                        index,
                        &Frame {
                            active: Val::Root,
                            ..frame.clone()
                        },
                    )?,
                };
                property::index(self, target, &index)
            }
            NodeKind::Select(which, condition) => self.select(target, *which, condition),
            NodeKind::Project(inner) => self.project(target, inner),
            _ => self.eval(node, frame),
        }
    }

    fn elements(&self, target: &Val<'a>, what: &str) -> Result<Vec<Val<'a>>> {
        let entry = |(key, value)| Val::Entry(Rc::new((key, value)));
        let elements = match target.items() {
            Some(items) => items,
            None => match property::entries(self, target) {
                Some(entries) => entries.into_iter().map(entry).collect(),
                None => {
                    return Err(ExpressionError::evaluation(format!(
                        "{what} needs a list or a map, not {}",
                        target.type_name()
                    )));
                }
            },
        };
        self.spend(elements.len())?;
        Ok(elements)
    }

    fn select(&self, target: &Val<'a>, which: Selection, condition: &Node) -> Result<Val<'a>> {
        let is_map = property::is_map(target);
        let mut elements = self.elements(target, "a selection")?;
        if which == Selection::Last {
            elements.reverse();
        }
        let mut kept = Vec::new();
        for element in elements {
            match self.eval(condition, &Frame::of_element(&element))? {
                Val::Bool(true) if which == Selection::All => kept.push(element),
                Val::Bool(true) => return Ok(single(element)),
                Val::Bool(false) => {}
                other => {
                    return Err(ExpressionError::evaluation(format!(
                        "the condition of a selection gives {}, not true or false",
                        other.type_name()
                    )));
                }
            }
        }
        if which != Selection::All {
            return Ok(Val::Null);
        }
        if !is_map {
            return Ok(Val::list(kept));
        }
        let entry = |element| match element {
            Val::Entry(entry) => Some((entry.0.clone(), entry.1.clone())),
            _ => None,
        };
        Ok(Val::map(kept.into_iter().filter_map(entry).collect()))
    }

    fn project(&self, target: &Val<'a>, inner: &Node) -> Result<Val<'a>> {
        let elements = self.elements(target, "a projection")?;
        let project = |element| self.eval(inner, &Frame::of_element(element));
        elements
            .iter()
            .map(project)
            .collect::<Result<Vec<_>>>()
            .map(Val::list)
    }

    fn logic(&self, nodes: &[Node], frame: &Frame<'a>, decisive: bool) -> Result<Val<'a>> {
        for node in nodes {
            if truth(&self.eval(node, frame)?).map_err(|e| e.at(node.position))? == decisive {
                return Ok(Val::Bool(decisive));
            }
        }
        Ok(Val::Bool(!decisive))
    }

    fn arithmetic(&self, operator: Arithmetic, l: &Val<'a>, r: &Val<'a>) -> Result<Val<'a>> {
        if let Some(pair) = number::pair(l, r) {
            return number::calculate(operator, pair);
        }
        match (operator, l, r) {
            (Arithmetic::Add, Val::Text(_), _) | (Arithmetic::Add, _, Val::Text(_)) => {
                let texts = [l, r].map(|v| v.joined_text().unwrap_or_else(|| v.java_string()));
                self.text(texts.concat())
            }
            (Arithmetic::Multiply, Val::Text(text), Val::Int(times)) => {
                methods::repeat(self, text, *times)
            }
            (Arithmetic::Subtract, Val::Text(text), Val::Int(by)) if text.chars().count() == 1 => {
                let moved = text
                    .chars()
                    .next()
                    .and_then(|c| (c as u32).checked_add_signed(-*by));
                match moved.and_then(char::from_u32) {
                    Some(c) => self.text(c),
                    None => Err(ExpressionError::evaluation("there is no such character")),
                }
            }
            _ => Err(ExpressionError::evaluation(format!(
                "'{}' does not work on {} and {}",
                operator.symbol(),
                l.type_name(),
                r.type_name()
            ))),
        }
    }

    fn compare(&self, operator: Comparison, left: &Val<'a>, right: &Val<'a>) -> Result<bool> {
        Ok(match operator {
            Comparison::Equal => equal(left, right),
            Comparison::NotEqual => !equal(left, right),
            Comparison::Less => order(left, right)?.is_lt(),
            Comparison::LessOrEqual => order(left, right)?.is_le(),
            Comparison::Greater => order(left, right)?.is_gt(),
            Comparison::GreaterOrEqual => order(left, right)?.is_ge(),
            Comparison::Matches => {
                let (Some(text), Some(pattern)) = (left.joined_text(), right.as_text()) else {
                    return Err(ExpressionError::evaluation(
                        "'matches' needs a text and a regular expression",
                    ));
                };
                if left.is_null() {
                    return Err(ExpressionError::evaluation("null cannot match anything"));
                }
                pattern::matches(self, &text, pattern)?
            }
            Comparison::Between => match right.items().as_deref() {
                Some([low, high]) => order(left, low)?.is_ge() && order(left, high)?.is_le(),
                _ => {
                    return Err(ExpressionError::evaluation(
                        "'between' needs a list of two values, such as {1,5}",
                    ));
                }
            },
            Comparison::InstanceOf => match right {
                Val::Class(java) => java.is_type_of(left),
                _ => {
                    return Err(ExpressionError::evaluation(
                        "'instanceof' needs a type, such as T(String)",
                    ));
                }
            },
        })
    }
}

/// The key of an inline map as text: numbers and booleans as they are written.
fn key_text(key: Val<'_>) -> Text<'_> {
    match key {
        Val::Text(text) => text,
        other => Text::Owned(Rc::from(other.java_string())),
    }
}

/// The first or last entry of a map is a map with one entry.
fn single(element: Val<'_>) -> Val<'_> {
    match element {
        Val::Entry(entry) => Val::map(vec![(entry.0.clone(), entry.1.clone())]),
        other => other,
    }
}

fn sign<'v>(negative: bool, value: &Val<'_>) -> Result<Val<'v>> {
    match value {
        Val::Int(value) => Ok(Val::Int(if negative {
            value.wrapping_neg()
        } else {
            *value
        })),
        Val::Long(value) => Ok(Val::Long(if negative {
            value.wrapping_neg()
        } else {
            *value
        })),
        Val::Double(value) => Ok(Val::Double(if negative { -value } else { *value })),
        other => Err(ExpressionError::evaluation(format!(
            "{} has no sign",
            other.type_name()
        ))),
    }
}
