//! Tables of expressions and their values, the limits, and a property: no text can do harm.

use kork_model::{Authentication, Execution, Stage, Status, Task, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn map(value: Value) -> Context {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no map"),
    }
}

fn stage(ref_id: &str, kind: &str, name: &str, context: Value) -> Stage {
    Stage {
        id: format!("id-{ref_id}").into(),
        ref_id: ref_id.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        context: map(context),
        ..Stage::default()
    }
}

fn execution() -> Execution {
    let mut first = stage("1", "wait", "wait 1", json!({ "tag": "T" }));
    first.status = Status::Succeeded;
    first.end_time = Some(Timestamp(5));
    first.tasks = vec![Task::default()];
    first.outputs = map(json!({ "out": { "b": [1, 2] } }));
    let mut judgment = stage(
        "j",
        "manualJudgment",
        "J",
        json!({ "judgmentInput": "red" }),
    );
    judgment.status = Status::Succeeded;
    let mut manifest = stage(
        "m",
        "deployManifest",
        "M",
        json!({ "manifests": [
        { "kind": "ReplicaSet", "spec": { "template": { "metadata": { "labels": { "app": "one" } } } } },
    ] }),
    );
    manifest.status = Status::Succeeded;
    let mut deploy = stage(
        "d",
        "createServerGroup",
        "D",
        json!({
            "account": "test", "capacity": { "min": 1 }, "deploy.server.groups": { "eu": ["app-v001"] },
            "deploymentDetails": [{ "region": "eu", "ami": "img" }],
        }),
    );
    deploy.status = Status::Succeeded;
    let mut current = stage("x", "wait", "wait x", json!({}));
    current.requisite_stage_ref_ids = vec!["1".to_owned()];
    Execution {
        id: "e1".into(),
        application: "anchor".to_owned(),
        name: Some("pipe".to_owned()),
        status: Status::Running,
        authentication: Authentication {
            user: "ann".to_owned(),
            ..Authentication::default()
        },
        trigger: map(json!({
            "type": "manual", "user": "ann",
            "parameters": {
                "num": 5, "big": 5_000_000_000_i64, "real": 1.5, "str": "abc", "flag": true,
                "list": [3, 1, 2], "map": { "k": "v" }, "nul": null,
                "people": [{ "name": "a", "age": 1 }, { "name": "b", "age": 2 }],
            },
            "buildInfo": { "number": 7, "scm": [{ "branch": "master" }, { "branch": "f" }] },
            "resolvedExpectedArtifacts": [
                { "boundArtifact": { "name": "img", "type": "docker/image", "version": "3" } },
            ],
        })),
        stages: vec![first, judgment, manifest, deploy, current],
        ..Execution::default()
    }
}

/// Calls back with a scope over the sample execution, seen from its last stage.
fn with_scope<T>(root: &Value, look: impl FnOnce(&Scope<'_>) -> T) -> T {
    let execution = execution();
    let root = map(root.clone());
    let pipelines = [PipelineName {
        id: "known-id".into(),
        name: "known one".into(),
        application: "anchor".into(),
    }];
    look(&Scope {
        execution: &execution,
        stage: execution.stages.last(),
        root: &root,
        pipelines: &pipelines,
        now: Timestamp(1_600_000_000_000),
        allow_unknown_keys: true,
    })
}

fn run(expression: &str) -> Result<Value, ExpressionError> {
    with_scope(&json!({ "waitTime": 0, "v": { "a": 1 } }), |scope| {
        evaluate(expression, scope)
    })
}

fn check(expression: &str, expected: &Value) {
    match run(expression) {
        Ok(value) => assert_eq!(&value, expected, "{expression}"),
        Err(error) => panic!("{expression} failed: {error}"),
    }
}

/// Every row is `[expression, value]`.
macro_rules! table {
    ($([$expression:literal, $($value:tt)+]),+ $(,)?) => {
        $(check($expression, &json!($($value)+));)+
    };
}

fn refused(expressions: &[&str]) {
    for expression in expressions {
        if let Ok(value) = run(expression) {
            panic!("{expression} gave {value}");
        }
    }
}

#[test]
fn arithmetic_is_that_of_java() {
    table!(
        ["7/2", 3],
        ["7%2", 1],
        ["7.0/2", 3.5],
        ["2^10", 1024],
        ["1+'2'", "12"],
        ["'2'+1", "21"],
        ["-5+3", -2],
        ["10 div 3", 3],
        ["10 mod 3", 1],
        ["1e3", 1000.0],
        ["0x1F", 31],
        ["2147483647+1", i32::MIN],
        ["2147483647L+1", 2_147_483_648_i64],
        ["2+3*4", 14],
        ["(2+3)*4", 20],
        ["10-3-2", 5],
        ["2^-1", 0],
        ["parameters.big + 1", 5_000_000_001_i64],
        ["parameters.real * 2", 3.0],
        ["'ab' * 3", "ababab"],
        ["'d' - 3", "a"],
        ["- -1", 1],
        ["'x' + null", "xnull"],
        ["'x' + {1,2}", "x1,2"],
        ["'x' + {a:1}", "x{a=1}"],
        ["'' + 1.0E10", "1.0E10"],
        ["'' + 0.0001", "1.0E-4"],
        ["'' + 100.0", "100.0"],
        ["2^31", 2_147_483_648_i64],
        ["1.0/0", "Infinity"],
    );
    refused(&[
        "1/0",
        "1%0",
        "1 - 'a'",
        "{1} + {2}",
        "-'a'",
        "99999999999",
        "null + 1",
    ]);
}

#[test]
fn logic_and_comparison() {
    table!(
        ["1<2 and 2<3", true],
        ["true && !false", true],
        ["1 eq 1", true],
        ["'a' lt 'b'", true],
        ["not true", false],
        ["1 instanceof T(Integer)", true],
        ["'abc' matches '[a-c]+'", true],
        ["'abcd' matches '[a-c]+'", false],
        ["'ab' matches 'a|ab'", true],
        ["null ?: 'dflt'", "dflt"],
        ["'' ?: 'dflt'", "dflt"],
        ["0 ?: 1", 0],
        ["true ? 'y' : 'n'", "y"],
        ["1 between {0,2}", true],
        ["5 == '5'", false],
        ["5 == 5L", true],
        ["1 == 1.0", true],
        ["null == null", true],
        ["null < 1", true],
        ["1 != null", true],
        ["{1,2} == {1,2}", true],
        ["false or true", true],
        ["1 GE 1", true],
        ["'true' and true", true],
        ["'a' < 'B'", false],
        ["parameters.nul == null", true],
        ["false and nope.x", false],
        ["true ? 1 : nope.x", 1],
        ["'5' > '10'", true],
    );
    refused(&[
        "'5' < 10",
        "1 and true",
        "null ? 1 : 2",
        "1 between 2",
        "'a' matches '('",
        "!5",
    ]);
}

#[test]
fn names_paths_and_collections() {
    table!(
        ["parameters.num", 5], ["trigger.parameters.str", "abc"], ["trigger['parameters']['flag']", true],
        ["parameters.nul", null], ["parameters.absent", null], ["parameters['absent']", null],
        ["parameters?.absent?.x", null], ["parameters.list", [3, 1, 2]], ["parameters.map.k", "v"],
        ["parameters.containsKey('absent')", false], ["v.a", 1], ["v['a']", 1], ["v[a]", 1],
        ["v?.b", null], ["parameters.list[0]", 3], ["parameters.list['1']", 1], ["'abc'[1]", "b"],
        ["parameters.list.?[#this > 1]", [3, 2]], ["parameters.list.^[#this < 3]", 1],
        ["parameters.list.$[#this < 3]", 2], ["parameters.list.![#this * 2]", [6, 2, 4]],
        ["parameters.people.?[name == 'b'][0].age", 2], ["parameters.people.![name]", ["a", "b"]],
        ["parameters.people.^[age == 9]", null], ["v.?[value == 1]", { "a": 1 }],
        ["v.![key + value]", ["a1"]], ["{}", []], ["{:}", {}], ["{a: 1, 'b': {2}}", { "a": 1, "b": [2] }],
        ["{1,2,3}.size()", 3], ["{1,2}.contains(2)", true], ["{1,2,3}.subList(1,3)", [2, 3]],
        ["v.keySet()", ["a"]], ["v.values()", [1]], ["v.size()", 1], ["v.keySet()[0]", "a"],
        ["v.containsValue(1)", true], ["{}.empty", true], ["#root.waitTime", 0], ["#root['waitTime']", 0],
        ["waitTime", 0], ["nope", null], ["#environment", null], ["buildInfo.number", 7],
        ["scmInfo.branch", "f"], ["templateVariables", {}], ["execution.name", "pipe"],
        ["execution.authentication.user", "ann"], ["execution.stages.?[type == 'wait'].![name]", ["wait 1", "wait x"]],
        ["execution.status.name()", "RUNNING"], ["execution['id']", "e1"], ["T(java.util.Date)", "java.util.Date"],
        ["{1,2}.containsAll({2})", true], ["containsKey('waitTime')", true], ["\"it's\"", "it's"], ["'it''s'", "it's"],
    );
    refused(&[
        "nope.x",
        "nope[0]",
        "nope.x()",
        "parameters.list[3]",
        "parameters.list[-1]",
        "'abc'[9]",
        "parameters.get('num')",
        "parameters.list.get(0)",
        "#root.getClass()",
        "'a'.getClass()",
        "parameters.list.stream()",
        "execution.nope",
        "{1}.?[5]",
        "5.?[true]",
        "a = 1",
        "@bean",
        "new int[]{1}",
        "1 +",
        "",
        "1 2",
        "{1",
        "a.",
        "#",
        "'abc",
        "1 < 2 < 3",
        "~",
        "a++",
    ]);
}

#[test]
fn methods_of_texts() {
    table!(
        ["'abc'.toUpperCase()", "ABC"],
        ["'ü'.toUpperCase()", "Ü"],
        ["' a '.trim()", "a"],
        ["'a-b'.replace('-', '+')", "a+b"],
        ["'a1b2'.replaceAll('[0-9]', '<$0>')", "a<1>b<2>"],
        ["'a1b2'.replaceFirst('[0-9]', '')", "ab2"],
        ["'a,b,,'.split(',')", ["a", "b"]],
        ["'a,b,,'.split(',', -1)", ["a", "b", "", ""]],
        ["'a,b,c'.split(',', 2)", ["a", "b,c"]],
        ["''.split(',')", [""]],
        ["'ab'.split('')", ["a", "b"]],
        ["'a.b'.split('\\.')", ["a", "b"]],
        ["'abc'.substring(1)", "bc"],
        ["'abc'.substring(1,2)", "b"],
        ["'abc'.indexOf('c')", 2],
        ["'abcabc'.indexOf('b', 2)", 4],
        ["'abc'.lastIndexOf('z')", -1],
        ["'abc'.contains('b')", true],
        ["'abc'.startsWith('ab')", true],
        ["'abc'.endsWith('bc')", true],
        ["'abc'.length()", 3],
        ["'😀'.length()", 2],
        ["''.isEmpty()", true],
        ["' '.isBlank()", true],
        ["'a'.concat('b')", "ab"],
        ["'a'.equals('a')", true],
        ["'A'.equalsIgnoreCase('a')", true],
        ["'a'.compareTo('c')", -2],
        ["'abc'.charAt(1)", "b"],
        ["'abc'.matches('a.c')", true],
        ["'%s-%s'.format('a','b')", "a"],
        ["'x'.format('%s-%s','a','b')", "a-b"],
        ["'ab'.repeat(2)", "abab"],
        ["'abc'.hashCode()", 96354],
        ["'abc'.toString()", "abc"],
        ["'x'.join(',', {'a','b'})", "a,b"],
        ["T(String).join('-', 'a', 'b')", "a-b"],
        [
            "T(String).format('%05d|%-4s|%.2f|%x|%,d', 42, 'a', 1.5, 255, 1234567)",
            "00042|a   |1.50|ff|1,234,567"
        ],
        ["T(String).valueOf(5)", "5"],
        ["5.toString()", "5"],
        ["5.equals(5L)", false],
    );
    refused(&[
        "'abc'.substring(5)",
        "'a'.nope()",
        "'a'.getBytes()",
        "'a'.split('(')",
        "'a'.replaceAll('a', '$5')",
        "T(String).format('%s')",
        "T(String).format('%d', 'a')",
        "'a'.repeat(-1)",
        "'a'.lines()",
    ]);
}

#[test]
fn allowed_types() {
    table!(
        ["T(java.lang.Math).max(1,2)", 2],
        ["T(Integer).parseInt('12')", 12],
        ["new java.lang.Integer('7')", 7],
        ["T(java.lang.Long).parseLong('9')", 9],
        ["T(java.lang.Boolean).parseBoolean('true')", true],
        ["T(Math).round(2.5)", 3],
        ["T(Math).floor(2.5)", 2.0],
        ["T(Math).abs(-3)", 3],
        ["T(Math).pow(2,3)", 8.0],
        ["T(Double).parseDouble('1.5')", 1.5],
        ["T(Integer).MAX_VALUE", i32::MAX],
        ["T(Integer).valueOf('ff', 16)", 255]
    );
}

#[test]
fn dates_and_refused_types() {
    table!(
        [
            "new java.text.SimpleDateFormat('yyyy-MM-dd HH:mm').format(new java.util.Date(0))",
            "1970-01-01 00:00"
        ],
        [
            "new java.text.SimpleDateFormat('yyyyMMdd').parse('20200102').time",
            1_577_923_200_000_i64
        ],
        [
            "new java.text.SimpleDateFormat('EEE d MMM ''at'' h a').format(new java.util.Date(0))",
            "Thu 1 Jan at 12 AM"
        ],
        [
            "new java.util.Date(0).toString()",
            "Thu Jan 01 00:00:00 UTC 1970"
        ],
        ["new java.util.Date().time", 1_600_000_000_000_i64],
        ["T(java.util.UUID).randomUUID().toString().length()", 36],
        [
            "T(java.time.LocalDate).of(2020,1,2).plusDays(1).toString()",
            "2020-01-03"
        ],
        [
            "T(java.time.LocalDate).parse('2020-01-31').plusMonths(1).toString()",
            "2020-02-29"
        ],
        [
            "T(java.time.LocalDate).of(2020,1,2).getDayOfWeek().toString()",
            "THURSDAY"
        ],
        ["T(java.time.LocalDate).of(2020,1,2).year", 2020],
        [
            "T(java.time.LocalDateTime).of(2020,1,2,3,4).plusHours(1).toString()",
            "2020-01-02T04:04"
        ],
        [
            "T(java.time.Instant).ofEpochMilli(1500).toString()",
            "1970-01-01T00:00:01.500Z"
        ],
        [
            "T(java.time.Instant).now().toEpochMilli()",
            1_600_000_000_000_i64
        ],
        [
            "T(java.time.Instant).parse('1970-01-01T00:01:00Z').plusSeconds(1).toEpochMilli()",
            61_000
        ],
        [
            "T(java.time.temporal.ChronoUnit).DAYS.between(T(java.time.LocalDate).of(2020,1,1), T(java.time.LocalDate).of(2020,3,1))",
            60
        ],
        ["T(java.net.URLEncoder).encode('a b&c', 'UTF-8')", "a+b%26c"],
        ["T(java.time.LocalDate).now().toString()", "2020-09-13"],
    );
    refused(&[
        "T(java.util.Arrays).asList(1,2)",
        "new java.util.ArrayList()",
        "T(java.util.regex.Pattern).matches('a','a')",
        "T(java.util.Base64).getEncoder()",
        "T(System).exit(1)",
        "T(java.lang.Runtime).getRuntime()",
        "T(Class)",
        "T(Integer).getInteger('x')",
        "T(Long).getLong('x')",
        "T(Boolean).getBoolean('x')",
        "T(Integer).parseInt('x')",
        "T(String).class",
        "T(String[])",
        "new java.lang.Thread()",
        "T(java.time.LocalDate).of(2020,13,1)",
    ]);
}

#[test]
fn helper_functions() {
    table!(
        ["#toInt('5')+1", 6], ["#toFloat('1.5')", 1.5], ["#toFloat('0.1')", 0.1], ["#toBoolean('true')", true],
        ["#toBoolean('yes')", false], ["#toInt(5)", 5], ["#toBase64('hi')", "aGk="], ["#fromBase64('aGk=')", "hi"],
        ["#alphanumerical('a-b_c 1!')", "abc1"], ["#alphanumerical('é')", ""],
        ["#toJson({a:1,b:{2,3}})", "{\"a\":1,\"b\":[2,3]}"], ["#toJson('s')", "\"s\""], ["#toJson(null)", "null"],
        ["#readJson('{\"a\":[1,{\"b\":2}]}')['a'][1]['b']", 2], ["#readJson('[1,2]')", [1, 2]],
        ["#readYaml('a: [1, x]')", { "a": [1, "x"] }], ["#readYaml('a: 1')['a']", 1],
        ["#stage('wait 1')['status'].toString()", "SUCCEEDED"], ["#stage('wait 1').status", "SUCCEEDED"],
        ["#stage(#root.execution, 'wait 1')['type']", "wait"], ["#stage('id-1').name", "wait 1"],
        ["#stageExists('wait 1')", true], ["#stageExists('nope')", false], ["#currentStage()['name']", "wait x"],
        ["#stageByRefId('1')['name']", "wait 1"], ["#stage('wait 1')['context']['tag']", "T"],
        ["#stage('wait 1')['context']['out']", { "b": [1, 2] }], ["#currentStage().context.out.b[1]", 2],
        ["#stage('wait 1')['endTime'] != null", true], ["#stage('wait x')['outputs'].isEmpty()", true],
        ["#stage('wait 1')['tasks'].size()", 1], ["#stage('wait 1')['status'].name()", "SUCCEEDED"],
        ["#stage('wait 1').status.isComplete()", true], ["#stage('wait 1').status.halt", false],
        ["#stage('wait 1').status == 'SUCCEEDED'", false], ["#stage('wait 1').getRefId()", "1"],
        ["#stage('wait 1').outputs.out.b[1]", 2], ["#stage('wait 1').execution.id", "e1"],
        ["#currentUser()", "ann"], ["#judgment('J')", "red"], ["#judgement('J')", "red"],
        ["#manifestLabelValue('M','ReplicaSet','app')", "one"], ["#pipelineId('known one')", "known-id"],
        ["#pipelineIdOrNull('unknown one')", null], ["#pipelineIdInApplication('known one','anchor')", "known-id"],
        ["#triggerResolvedArtifact('img')['version']", "3"], ["#triggerResolvedArtifactByType('docker/image').name", "img"],
        ["#resolvedArtifacts().size()", 1], ["#deployedServerGroups('D')[0].serverGroup", "app-v001"],
        ["#deployedServerGroups('nope')", []], ["deployedServerGroups[0]['ami']", "img"], ["#deployedServerGroups()[0].region", "eu"],
    );
    refused(&[
        "#toInt('x')",
        "#toInt(null)",
        "#fromBase64('???')",
        "#readJson('nope')",
        "#stage('nope')",
        "#stageByRefId('zz')",
        "#pipelineId('unknown one')",
        "#triggerResolvedArtifact('x')",
        "#resolveArtifacts('x')",
        "#judgment('wait 1')",
        "#manifestLabelValue('M','Banana','app')",
        "#manifestLabelValue('x','ReplicaSet','app')",
        "#fromUrl('http://a.b/')",
        "#toJson('$' + '{a}')",
        "#nope()",
        "#readYaml('a: [')",
    ]);
}

#[test]
fn arrays_have_a_length_and_no_methods() {
    table!(
        ["'a,b,c'.split(',')", ["a", "b", "c"]],
        ["'a,b,c'.split(',').length", 3],
        ["'a,b,c'.split(',')[1]", "b"],
        ["'x' + 'a,b'.split(',')", "xa,b"],
        ["'a,b'.split(',').![toUpperCase()]", ["A", "B"]],
        ["T(String).join('-', 'a,b'.split(','))", "a-b"],
        ["'a,b'.split(',') == {'a','b'}", true],
    );
    refused(&[
        "'a,b'.split(',').size()",
        "'a,b'.split(',').contains('a')",
        "{1,2}.length",
        "'abc'.length",
    ]);
}

#[test]
fn results_of_java_time_are_written_as_numbers() {
    table!(
        ["T(java.time.Instant).ofEpochMilli(7)", 7],
        ["T(java.time.LocalDate).of(2020,1,2)", [2020, 1, 2]],
        [
            "T(java.time.LocalDateTime).of(2020,1,2,3,4)",
            [2020, 1, 2, 3, 4]
        ],
        [
            "T(java.time.LocalDateTime).of(2020,1,2,3,4,5)",
            [2020, 1, 2, 3, 4, 5]
        ],
        ["T(java.time.LocalDate).of(2020,1,2).dayOfWeek", "THURSDAY"],
        [
            "'on ' + T(java.time.LocalDate).of(2020,1,2)",
            "on 2020-01-02"
        ],
    );
    // Spring converts neither of them into a part of a text.
    for text in [
        "on ${T(java.time.LocalDate).of(2020,1,2)}",
        "by ${#stage('wait 1')}",
        "in ${execution}",
    ] {
        let (value, summary) = with_scope(&json!({}), |scope| process(&json!(text), scope));
        assert_eq!(value, json!(text));
        assert_eq!(summary.failures().len(), 1, "{text}");
    }
}

#[test]
fn members_of_forbidden_types_cannot_be_seen() {
    table!(
        ["execution.context", {"out": {"b": [1, 2]}}],
        ["execution.canceled", false],
        ["#stage('wait 1').parent == null", true],
    );
    refused(&[
        "execution.type",
        "execution.source",
        "#stage('wait 1').lastModified",
        "#stage('wait 1').syntheticStageOwner",
    ]);
}

#[test]
fn json_keeps_the_order_that_an_expression_gives() {
    table!(
        ["#toJson({b: 1, a: {d: 2, c: null}})", r#"{"b":1,"a":{"d":2,"c":null}}"#],
        ["#toJson({{z: 1}, {y: 1.0}})", r#"[{"z":1},{"y":1.0}]"#],
        ["#readJson('[1]')", [1]],
        ["#readJson(' {\"a\": 1}')", {"a": 1}],
        ["'%05d'.format(5)", "5"],
        ["'%05d'.formatted(5)", "00005"],
    );
    refused(&["#readJson(' [1]')", "#readJson('[1')", "#readJson('5')"]);
}

fn settle(context: &Value) -> (Value, Summary) {
    with_scope(context, |scope| {
        let (context, summary) = process_stage_context(&map(context.clone()), scope);
        (Value::Object(context), summary)
    })
}

fn settles_to(context: &Value, expected: &Value) {
    assert_eq!(&settle(context).0, expected);
}

#[test]
fn templates_keep_types_and_raw_forms() {
    let (context, summary) = settle(&json!({
        "a": "${1 +}", "b": "${", "c": "${1", "d": "1}", "e": "$1", "f": "${}", "g": "${ }", "h": "$${1}",
        "i": "\\${1}", "j": "{1}", "k": "${'}'}", "l": "${{'a':'}'}}", "m": "#{1}", "n": "x${1}y${'z'}",
        "o": "x${parameters.nul}y${1}", "p": "l ${parameters.list}", "q": "m ${parameters.map}", "r": "${parameters.nul}",
    }));
    assert_eq!(
        context,
        json!({
            "a": "${1 +}", "b": "${", "c": "${1", "d": "1}", "e": "$1", "f": "${}", "g": "${ }", "h": "$1",
            "i": "\\1", "j": "{1}", "k": "}", "l": { "a": "}" }, "m": "#{1}", "n": "x1yz",
            "o": "x${parameters.nul}y1", "p": "l 3,1,2", "q": "m ${parameters.map}", "r": "${parameters.nul}",
        })
    );
    let summary = summary.to_json();
    assert_eq!(summary["parameters.nul"][0]["level"], "INFO");
    assert_eq!(
        summary["parameters.nul"][0]["timestamp"],
        1_600_000_000_000_i64
    );
    assert_eq!(
        summary["1 +"][0]["exceptionType"],
        ErrorKind::Parse.exception_type()
    );
    assert_eq!(
        summary.as_object().unwrap().keys().count(),
        8,
        "{summary:#}"
    );
}

#[test]
fn a_context_settles_whatever_its_order() {
    settles_to(
        &json!({ "a": "A", "b": "${a}B", "c": "${b}C", "d": "${e}", "e": "${1+1}", "f": "${'${1+1}'}" }),
        &json!({ "a": "A", "b": "AB", "c": "ABC", "d": 2, "e": 2, "f": 2 }),
    );
    settles_to(
        &json!({ "a": { "b": [{ "c": "${1+2}" }, "x${'y'}z"], "${'k'}": "v" }, "n": null }),
        &json!({ "a": { "b": [{ "c": 3 }, "xyz"], "k": "v" }, "n": null }),
    );
    let (context, summary) = settle(&json!({ "b": "${b}", "raw": "${#doNotEval('${1+1}')}" }));
    assert_eq!(context, json!({ "b": "${b}", "raw": "${1+1}" }));
    assert!(summary.is_empty(), "{summary:?}");
}

#[test]
fn a_value_that_refers_to_itself_does_not_grow() {
    let (context, summary) =
        settle(&json!({ "n": "${n + 1}", "x": "${y}a", "y": "${x}b", "ok": "${1}" }));
    assert_eq!(
        context,
        json!({ "n": "${n + 1}", "x": "${y}a", "y": "${x}b", "ok": 1 })
    );
    assert_eq!(summary.failures().len(), 3, "{summary:?}");
    let (context, _) = settle(&json!({ "n": "${n}${n}${n}${n}" }));
    assert_eq!(context, json!({ "n": "${n}${n}${n}${n}" }));
}

#[test]
fn what_is_not_known_at_the_start_stays_raw() {
    let execution = Execution::default();
    let root = Context::new();
    let scope = Scope {
        execution: &execution,
        stage: None,
        root: &root,
        pipelines: &[],
        now: Timestamp(0),
        allow_unknown_keys: false,
    };
    for raw in [
        "${execution.name}",
        "${#stageExists('x')}",
        "${deployedServerGroups}",
        "${parameters.a}",
        "${nope}",
        "${#currentUser()}",
    ] {
        assert_eq!(process(&json!(raw), &scope).0, json!(raw));
    }
    assert_eq!(process(&json!(["${1+1}"]), &scope).0, json!([2]));
}

#[test]
fn conditions() {
    with_scope(&json!({ "go": false }), |scope| {
        assert_eq!(evaluate("${1 == 2}", scope), Ok(json!(false)));
        assert_eq!(evaluate("!go", scope), Ok(json!(true)));
        assert_eq!(
            evaluate_condition("expression", "nope", scope).0,
            json!("nope")
        );
        let (value, summary) = evaluate_condition("expression", "1 <", scope);
        assert_eq!((value, summary.is_empty()), (json!("1 <"), false));
    });
    assert!(is_true(&json!("true")) && is_true(&json!(true)));
    assert!(!is_true(&json!("yes")) && !is_true(&json!(1)));
}

#[test]
fn the_limits_hold() {
    let kind = |expression: &str| run(expression).map_err(|e| e.kind);
    let long = format!("'{}'", "a".repeat(limits::MAX_EXPRESSION_LENGTH));
    assert_eq!(kind(&long), Err(ErrorKind::Limit));
    let deep = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert_eq!(kind(&deep(limits::MAX_NESTING - 1)), Ok(json!(1)));
    assert_eq!(kind(&deep(limits::MAX_NESTING)), Err(ErrorKind::Limit));
    assert_eq!(kind(&"-".repeat(500)), Err(ErrorKind::Parse));
    assert_eq!(
        kind(&format!("{}1", "- ".repeat(500))),
        Err(ErrorKind::Limit)
    );
    assert_eq!(kind("'a'.repeat(2000000)"), Err(ErrorKind::Limit));
    assert_eq!(
        kind("('a'*1000*1000).replace('a','bb')"),
        Err(ErrorKind::Limit)
    );
    let list = format!("{{{}1}}", "1,".repeat(400));
    let slow = format!("{list}.![{list}.![{list}.size()]]");
    assert_eq!(kind(&slow), Err(ErrorKind::Limit));
    let pattern = "a".repeat(limits::MAX_REGEX_LENGTH + 1);
    assert_eq!(
        kind(&format!("'a' matches '{pattern}'")),
        Err(ErrorKind::Limit)
    );
    assert!(
        run("'a' matches '((a{500}){500}){500}'").is_err(),
        "the compiled size is bounded"
    );
    assert_eq!(kind("#readYaml('['*1000)"), Err(ErrorKind::Limit));
    assert_eq!(kind("#readAllYaml('{'*1000)"), Err(ErrorKind::Limit));
    let chain = format!("1{}", "+1".repeat(4_000));
    assert_eq!(kind(&chain), Ok(json!(4_001)));
    let mut nested = json!("${1}");
    for _ in 0..limits::MAX_VALUE_DEPTH + 2 {
        nested = json!([nested]);
    }
    let nested = json!({ "n": nested });
    settles_to(&nested, &nested);
    let many: Vec<_> = (0..=limits::MAX_TEMPLATES_PER_PASS)
        .map(|_| "${1}")
        .collect();
    let (many, summary) = with_scope(&json!({}), |scope| process(&json!(many), scope));
    assert_eq!(
        (&many[0], &many[limits::MAX_TEMPLATES_PER_PASS]),
        (&json!(1), &json!("${1}"))
    );
    assert!(!summary.is_empty());
}

#[test]
fn all_expressions_of_one_pass_together_are_bounded() {
    let heavy: Vec<_> = (0..400).map(|_| "${'a'*1000*500}").collect();
    let (made, summary) = with_scope(&json!({}), |scope| process(&json!(heavy), scope));
    let bytes = made.to_string().len();
    assert!((4_000_000..6_000_000).contains(&bytes), "{bytes}");
    assert!(summary.failures().iter().any(|f| f.contains("together")));
    // Each pass would make of every part all of it.
    let parts: Vec<_> = (0..12)
        .map(|_| json!({ "x": "${a}", "y": "${a}" }))
        .collect();
    let (settled, summary) = settle(&json!({ "a": parts, "b": "${1}" }));
    assert_eq!(settled["a"], json!(parts));
    assert_eq!(settled["b"], 1);
    assert!(!summary.is_empty());
}

#[test]
fn an_error_says_where() {
    let error = run("1 + nope.x").unwrap_err();
    assert_eq!(
        error.to_string(),
        "property 'x' cannot be read from null (at character 9)"
    );
}

/// Pieces that make nearly valid expressions.
fn fragment() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "1",
        "'a'",
        "null",
        "true",
        "parameters",
        ".list",
        "[0]",
        ".?[",
        ".![",
        "]",
        "(",
        ")",
        "{",
        "}",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "==",
        "<",
        "and",
        "or",
        "not ",
        "!",
        "?",
        ":",
        "?:",
        "?.",
        "#this",
        "#root",
        "#stage('wait 1')",
        "#toJson(",
        "T(Math)",
        ".max(",
        ",",
        "new java.util.Date()",
        ".plusDays(",
        "'a'.repeat(9)",
        ".split('')",
        ".size()",
        " matches ",
        " between ",
        "${",
        "execution",
        ".stages",
        "-2147483648",
        "9223372036854775807L",
        "1e308",
        "T(java.time.LocalDate).of(2020,1,1)",
        ".format(",
        "'%5d'",
        " instanceof ",
        "é",
        "\\",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_or_hangs(text in ".{0,80}") {
        let _value = run(&text);
        settle(&json!({ "a": text, "b": format!("${{{text}}}") }));
    }

    #[test]
    fn no_nearly_valid_expression_panics_or_hangs(parts in prop::collection::vec(fragment(), 0..14)) {
        let text = parts.concat();
        let _value = run(&text);
        settle(&json!({ "a": format!("${{{text}}}"), "b": "${a}" }));
    }
}
