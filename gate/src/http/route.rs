//! Routes and the router. One table registers what is served and describes it.

use futures_util::future::BoxFuture;

use super::{answer::Outcome, call::Call, query::Param};

/// What a route does with a request.
pub(crate) type Handler = fn(Call) -> BoxFuture<'static, Outcome>;

/// The methods that routes have. `HEAD` is served as `GET` without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The method on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The verb of a method.
    pub(crate) fn of(method: &str) -> Option<Self> {
        match method {
            "GET" | "HEAD" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "PATCH" => Some(Self::Patch),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// What a route wants as body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyRule {
    /// Nothing; what comes is ignored.
    Ignored,
    /// JSON of this shape, or nothing.
    Optional(&'static str),
    /// JSON of this shape.
    Required(&'static str),
    /// JSON of this shape, or plain text.
    JsonOrText(&'static str),
    /// Any bytes of any media type, as a rule JSON of this shape; read elsewhere.
    Raw(&'static str),
}

/// What a route answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// No body.
    Nothing,
    /// JSON of this shape; `X[]` is a list of X.
    Json(&'static str),
    /// Health, in the media type of Spring Boot.
    Health,
    /// Bytes of one of these media types.
    Media(&'static [&'static str]),
    /// A redirect.
    Redirect,
}

/// One line of the route table.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    /// With `{name}` for parameters.
    pub(crate) path: &'static str,
    /// Operation id of the document.
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) query: &'static [&'static Param],
    pub(crate) body: BodyRule,
    pub(crate) status: u16,
    /// Another status of a good answer.
    pub(crate) or_status: Option<u16>,
    pub(crate) gives: Gives,
    pub(crate) run: Handler,
}

impl Route {
    /// A route without query and body that answers 200 with nothing.
    pub(crate) const fn new(
        verb: Verb,
        path: &'static str,
        id: &'static str,
        run: Handler,
    ) -> Self {
        Self {
            verb,
            path,
            id,
            tag: "",
            summary: "",
            query: &[],
            body: BodyRule::Ignored,
            status: 200,
            or_status: None,
            gives: Gives::Nothing,
            run,
        }
    }

    /// Where it stands in the document, and what it is for.
    pub(crate) const fn about(mut self, tag: &'static str, summary: &'static str) -> Self {
        self.tag = tag;
        self.summary = summary;
        self
    }

    pub(crate) const fn query(mut self, query: &'static [&'static Param]) -> Self {
        self.query = query;
        self
    }

    pub(crate) const fn body(mut self, body: BodyRule) -> Self {
        self.body = body;
        self
    }

    /// Answers JSON of this shape.
    pub(crate) const fn json(mut self, shape: &'static str) -> Self {
        self.gives = Gives::Json(shape);
        self
    }

    pub(crate) const fn gives(mut self, gives: Gives) -> Self {
        self.gives = gives;
        self
    }

    pub(crate) const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(crate) const fn or_status(mut self, status: u16) -> Self {
        self.or_status = Some(status);
        self
    }

    /// Names of the path parameters, in order.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(parameter)
    }
}

/// Makes a [`Handler`] of an async function.
macro_rules! run {
    ($handler:path) => {
        |call| Box::pin($handler(call))
    };
}
pub(crate) use run;

/// Decoded path parameters by their name in the route.
pub(crate) type PathValues = Vec<(&'static str, String)>;

/// What the router found for a path.
pub(crate) enum Found {
    Route(&'static Route, PathValues),
    /// The path has routes, none with this method: these it has.
    Methods(Vec<Verb>),
    Nothing,
}

/// Routes by the number of their parts, the most specific first.
pub(crate) struct Router(Vec<Vec<Entry>>);

struct Entry {
    parts: Vec<&'static str>,
    route: &'static Route,
}

impl Router {
    /// A router over the table.
    pub(crate) fn new(table: impl Iterator<Item = &'static Route>) -> Self {
        let mut by_length: Vec<Vec<Entry>> = Vec::new();
        for route in table {
            let parts: Vec<_> = route
                .path
                .split('/')
                .filter(|part| !part.is_empty())
                .collect();
            if by_length.len() <= parts.len() {
                by_length.resize_with(parts.len() + 1, Vec::new);
            }
            by_length[parts.len()].push(Entry { parts, route });
        }
        for entries in &mut by_length {
            entries.sort_by_key(|entry| {
                entry
                    .parts
                    .iter()
                    .map(|part| parameter(part).is_some())
                    .collect::<Vec<_>>()
            });
        }
        Self(by_length)
    }

    /// The route for a method and the decoded parts of a path. Literal parts win over parameters,
    /// from left to right, among the routes that have the method.
    pub(crate) fn find(&self, verb: Option<Verb>, parts: &[String]) -> Found {
        let mut methods = Vec::new();
        for entry in self.0.get(parts.len()).into_iter().flatten() {
            let fits = entry.parts.iter().zip(parts).all(|(pattern, part)| {
                parameter(pattern).map_or(*pattern == part, |_| !part.is_empty())
            });
            if !fits {
                continue;
            }
            if Some(entry.route.verb) == verb {
                let values = entry.parts.iter().zip(parts);
                let values = values
                    .filter_map(|(p, v)| Some((parameter(p)?, v.clone())))
                    .collect();
                return Found::Route(entry.route, values);
            }
            methods.push(entry.route.verb);
        }
        if methods.is_empty() {
            return Found::Nothing;
        }
        methods.sort_unstable();
        methods.dedup();
        Found::Methods(methods)
    }
}

fn parameter(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answer::Answer;

    async fn nothing(_: Call) -> Outcome {
        std::future::ready(Answer::empty()).await
    }

    static TABLE: &[Route] = &[
        Route::new(Verb::Post, "/p/{a}/{n}", "start", run!(nothing)),
        Route::new(Verb::Put, "/p/{id}/cancel", "cancel", run!(nothing)),
        Route::new(Verb::Post, "/p/{id}/evaluate", "evaluate", run!(nothing)),
        Route::new(Verb::Get, "/", "root", run!(nothing)),
    ];

    fn found(method: &str, path: &str) -> String {
        let parts = crate::http::path::parts(path).unwrap();
        match Router::new(TABLE.iter()).find(Verb::of(method), &parts) {
            Found::Route(route, values) => format!("{} {values:?}", route.id),
            Found::Methods(verbs) => format!("{verbs:?}"),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    #[test]
    fn literals_win_among_the_routes_with_the_method() {
        assert_eq!(
            found("POST", "/p/x/cancel"),
            r#"start [("a", "x"), ("n", "cancel")]"#
        );
        assert_eq!(found("PUT", "/p/x/cancel"), r#"cancel [("id", "x")]"#);
        assert_eq!(found("POST", "/p/x/evaluate"), r#"evaluate [("id", "x")]"#);
        assert_eq!(found("GET", "/p/x/cancel"), "[Post, Put]");
        assert_eq!(found("TRACE", "/p/x/cancel"), "[Post, Put]");
        assert_eq!(found("HEAD", "/"), "root []");
        assert_eq!(found("POST", "/p//b"), "nothing");
        assert_eq!(found("GET", "/q"), "nothing");
    }
}
