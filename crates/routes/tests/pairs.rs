//! Which functions may stand side by side, and what is found then.

use routes::{Constraint, Function, Level, Routes, Template};

fn function(name: &str, route: &str, methods: Option<&[&str]>) -> Function {
    let methods =
        methods.map(|methods| methods.iter().map(|method| (*method).to_owned()).collect());
    Function {
        name: name.to_owned(),
        file: format!("{name}/function.json"),
        route: route.to_owned(),
        template: Template::parse(route).unwrap(),
        methods,
        level: Level::Function,
        is_reserved: false,
        warnings: Vec::new(),
    }
}

/// Whether two functions that take every method may stand side by side, in either order.
fn stand(one: &str, other: &str) -> bool {
    let routes = |one: &str, other: &str| {
        Routes::new(vec![function("A", one, None), function("B", other, None)])
    };
    let stands = routes(one, other).is_ok();
    assert_eq!(routes(other, one).is_ok(), stands, "{one} and {other}");
    stands
}

#[test]
fn pairs_that_no_path_can_mean_both_of() {
    for (one, other) in [
        ("a", "b"),
        ("a", "a/b"),
        ("a/{x}", "b/{x}"),
        ("a/{x}", "a"),
        ("orders/search", "orders/{id:int}"),
        ("orders/search", "orders/{id:long:min(1)}"),
        ("orders/search", "orders/{id:range(1,9)}"),
        ("orders/search", "orders/{id:max(9)?}"),
        ("users/search", "users/{id:guid}"),
        ("a/{x}.json", "a/{x}.xml"),
        ("a/x{y}.json", "a/z{y}.json"),
        ("a/{x}.json", "a/b"),
        ("a/{x?}", "a/{x}/b"),
        ("a/{x=1}", "a/{x}/b"),
        ("a/{x}/b/{y?}", "a/{x}/c"),
        ("a/{*x}", "b/{*x}"),
        ("{x:int}/list", "public/{y}"),
        ("a b", "a-b"),
    ] {
        assert!(stand(one, other), "{one} and {other}");
    }
}

#[test]
fn pairs_that_a_path_could_mean_both_of() {
    let guid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    for (one, other) in [
        ("a", "A"),
        // The micro sign and the letter mu, which have one capital.
        ("a/\u{b5}", "a/\u{3bc}"),
        ("K\u{e4}se", "k\u{c4}SE"),
        ("stra\u{df}e", "STRASSE"),
        ("a/{x}", "a/b"),
        ("a/{x}", "{y}/b"),
        ("a/{x:alpha}", "a/7"),
        ("a/{x:bool}", "a/b"),
        ("a/{x:int}", "a/b7"),
        ("a/{x:int}", "a/{y:guid}"),
        ("a/{x:int}", "a/{y}"),
        ("a/{x:int:regex(^b$)}", "a/b"),
        ("a/{x:guid}", &format!("a/{guid}")),
        ("a/{x}.json", "a/b.json"),
        ("a/{x}.json", "a/{y}.JSON"),
        ("a/{x}.json", "a/{y}n"),
        ("a/b{x}", "a/{y}c"),
        ("a/{x}-{y}", "a/{z}"),
        ("a/{x?}", "a"),
        ("a/{x=1}", "a"),
        ("a/{x?}/{y?}", "a/{z}"),
        ("a/{x?}/b", "a/b"),
        ("a/{*x}", "a"),
        ("a/{*x}", "a/b/c"),
        ("a/{*x}", "{y}/b"),
        ("{*x}", "a/{y?}"),
        ("a/{x:int}/{*y}", "a/{z}/b"),
    ] {
        assert!(!stand(one, other), "{one} and {other}");
    }
}

#[test]
fn methods_tell_functions_apart() {
    let stand = |one: Option<&[&str]>, other: Option<&[&str]>| {
        Routes::new(vec![function("A", "x", one), function("B", "x", other)]).is_ok()
    };
    assert!(stand(Some(&["GET"]), Some(&["POST", "PURGE"])));
    assert!(!stand(Some(&["GET", "POST"]), Some(&["POST"])));
    // No list counts as all methods, and so does an empty one.
    assert!(!stand(None, Some(&["GET"])));
    assert!(!stand(Some(&[]), Some(&["GET"])));

    let methods: [&[&str]; 2] = [&["GET", "PUT"], &["POST"]];
    let [a, b] = methods.map(|methods| function(methods[0], "x", Some(methods)));
    let routes = Routes::new(vec![a, b]).unwrap();
    let found = |method| {
        let (index, _) = routes.find(method, "/x")?;
        Some(&*routes.functions()[index].name)
    };
    assert_eq!(
        ["GET", "put", "Post", "PATCH"].map(found),
        [Some("GET"), Some("GET"), Some("POST"), None]
    );
}

/// At least what the host takes: empty parts don't count, nor does a slash at either end. What is
/// found so is then taken apart as the host does it.
#[test]
fn what_is_found() {
    let routes = [
        ("orders/search", "orders/SEARCH/", Some("")),
        ("orders/search", "orders//search", None),
        ("orders/{id:int}", "orders/x7", Some("id=x7")),
        ("orders/{id:int}", "orders/search", None),
        (
            "users/{id:guid}",
            "users/0123456789abcdef0123456789abcdef",
            Some("id=0123456789abcdef0123456789abcdef"),
        ),
        ("users/{id:guid}", "users/search", None),
        ("e/{a}/{b?}", "e/1", Some("a=1 b")),
        ("e/{a}/{b?}", "e/1//", None),
        ("f/{a=1}", "f", Some("a=1")),
        ("f/{a=1}/x", "f/x", None),
        ("g/{*all}", "g", Some("all")),
        ("g/{*all}", "g/a//b%2Fc/", Some("all=a//b%2Fc/")),
        ("g/{*all}", "g//", None),
        ("m/{a}-{b}", "m/1-2-3", Some("a=1-2 b=3")),
        ("m/{a}-{b}", "m/-2", None),
        ("m/x{a}y", "m/XzY", Some("a=z")),
        // The host looks for the last `x`, and does not look for another (read, not recorded).
        ("m/x{a}y", "m/xxyy", None),
        ("m/x{a}y", "m/xy", None),
        ("k/kelvin", "k/\u{212a}elvin", None),
        ("k/stra\u{df}e", "k/STRASSE", None),
    ];
    for (route, path, expected) in routes {
        let routes = Routes::new(vec![function("A", route, None)]).unwrap();
        let path = format!("/{path}");
        let found = routes.find("GET", &path).map(|(_, parameters)| {
            let one = |(name, value): (&str, Option<String>)| match value {
                Some(value) => format!("{name}={value}"),
                None => name.to_owned(),
            };
            parameters
                .into_iter()
                .map(one)
                .collect::<Vec<_>>()
                .join(" ")
        });
        assert_eq!(found.as_deref(), expected, "{route}: {path}");
    }
}

/// Random routes and paths, the same in each run. Whatever two routes take for the host, with any
/// constraint that a text of its kind can meet, they may not stand side by side.
#[test]
fn no_path_means_two_functions_that_stand_side_by_side() {
    const PARTS: &str = "a A b1 \u{e4} stra\u{df}e {x} {x?} {x=1} {*x} {x:int} {x:guid} {x:max(9)?} \
                         {x:int:regex(.)} {x:alpha} {x}.json a{x} {x}-{y} {x}.{y:int}";
    const TEXTS: &str = "a A b1 B1 \u{e4} \u{c4} stra\u{df}e STRASSE stra\u{1e9e}e \u{212a} 7 x7 q \
                         q.json Q.JSON 1-2 a.5 0123456789abcdef0123456789abcdef";
    let parts: Vec<&str> = PARTS.split_whitespace().collect();
    let texts: Vec<&str> = TEXTS.split_whitespace().chain([""]).collect();
    // Knuth's generator, of which the higher half is used.
    let mut state = 1_u64;
    let mut random = |most: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % most
    };
    let fits = |constraint: &Constraint, text: &str| match constraint.name.as_str() {
        "int" | "max" => text.bytes().any(|byte| byte.is_ascii_digit()),
        "guid" => text.chars().count() >= 32,
        _ => true,
    };
    let mut both = 0;
    for _ in 0..100_000 {
        let mut join = |of: &[&str]| {
            let count = 1 + random(4);
            (0..count)
                .map(|_| of[random(of.len())])
                .collect::<Vec<_>>()
                .join("/")
        };
        // The name of each parameter once.
        let numbered = |route: String| {
            let mut number = 0;
            let names = route.split('{').map(|piece| {
                number += 1;
                piece.replacen('x', &format!("x{number}"), 1).replacen(
                    'y',
                    &format!("y{number}"),
                    1,
                )
            });
            names.collect::<Vec<_>>().join("{")
        };
        let routes = [(); 2].map(|()| numbered(join(&parts)));
        let path = format!("/{}", join(&texts));
        let templates = routes.each_ref().map(|route| Template::parse(route));
        let [Ok(one), Ok(other)] = &templates else {
            continue;
        };
        if one.parameters(&path, fits).is_some() && other.parameters(&path, fits).is_some() {
            both += 1;
            let [one, other] = &routes;
            assert!(!stand(one, other), "{one} and {other} both take {path}");
        }
    }
    assert!(both > 400, "only {both}");
}
