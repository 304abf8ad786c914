//! The house stands: floors, one clock, one cache, one gate, and pages that name what there is.
#![expect(clippy::panic, clippy::unwrap_used, reason = "what helps a test fails it")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room, lowest floor first; rooms of one line share a floor. A file uses lower floors and its own room only.
const FLOORS: &[&[&str]] = &[
    &["chance", "clock", "id", "key", "scope", "evidence", "breaker", "metrics", "secret"],
    &["subject"],
    &["token", "window"],
    &["store"],
    &["rejection", "store/memory", "store/redis"],
    &["audit"],
    &["context"],
    &["cache", "gate"],
    &["limit"],
    &["authenticator"],
    &["issuing"],
    &["forward"],
    &["issuer_http", "receiver", "stack"],
    &["stack/mod", "stack/BearerStack"], // the file, and what only it defines
    &["axum", "device", "service", "test_util", "manual"],
    &["fuzz"],
];

/// What the root re-exports, for files that name it there.
const ROOT: &[(&str, &str)] = &[
    ("Authenticator", "authenticator"),
    ("AuthContext", "context"),
    ("Quota", "context"),
    ("QuotaSource", "context"),
    ("Evidence", "evidence"),
    ("Secret", "secret"),
];

#[test]
fn floors() {
    let mut faults = String::new();
    for file in source() {
        let own = room_of_file(&file.path);
        if own == "lib" {
            continue;
        }
        let Some(floor) = floor_of(&own) else {
            let _ = writeln!(faults, "{}: room {own} stands on no floor", file.path);
            continue;
        };
        for (line, path) in uses(&file.code()) {
            let target = room_of_path(&path);
            let fine = match floor_of(&target) {
                Some(below) => below < floor || target == own,
                None => false,
            };
            if !fine {
                let _ =
                    writeln!(faults, "{}:{line}: {own} may not use {target} ({path})", file.path);
            }
        }
    }
    assert!(faults.is_empty(), "upside down:\n{faults}");
}

#[test]
fn lengths() {
    let mut faults = String::new();
    for file in source() {
        match file.without_tests().len() {
            0..=200 => {}
            long @ 201..=500 => println!("long: {} has {long} lines", file.path),
            long => writeln!(faults, "{}: {long} lines without tests", file.path).unwrap(),
        }
    }
    assert!(faults.is_empty(), "too long:\n{faults}");
}

#[test]
fn each_in_its_one_place() {
    let services = ["src/gate/mod.rs", "src/forward/", "src/device/", "src/service/"];
    for (name, places, pattern) in [
        ("quick_cache", &["src/cache/bounded.rs"][..], names_the_map as Pattern),
        ("the client of Redis", &["src/store/redis/"], names_redis),
        ("the operating system's time", &["src/clock.rs"], reads_time),
        ("a service", &services, is_service),
        ("unsafe code", &[], is_unsafe),
        ("a panic on purpose", &[], panics),
    ] {
        let mut faults = String::new();
        for file in
            source().iter().filter(|file| !places.iter().any(|at| file.path.starts_with(at)))
        {
            for (line, text) in file.code().iter().filter(|(_, text)| pattern(text)) {
                let _ = writeln!(faults, "{}:{line}: {}", file.path, text.trim());
            }
        }
        assert!(faults.is_empty(), "{name} outside {places:?}:\n{faults}");
    }
    let gate = File::read(Path::new("src/gate/mod.rs"));
    let services = gate.code().iter().filter(|(_, text)| is_service(text)).count();
    assert_eq!(services, 1, "one gate serves every check");
}

#[test]
fn readme_names_layers_and_features() {
    let readme = read("README.md");
    let table: String = readme.lines().filter(|line| line.starts_with('|')).collect();
    let stack = read("src/stack/mod.rs");
    let rows = stack
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .filter(|row| row.starts_with(digit));
    let mut layers: Vec<&str> = rows.filter_map(|row| between(row, "[`", "`]")).collect();
    assert_eq!(layers.len(), 8, "the table on top of src/stack/mod.rs");
    let files = source();
    let made = files.iter().flat_map(|file| file.text.lines());
    layers.extend(made.filter_map(|line| between(line, "step_layer!(", ");")));
    for layer in layers {
        assert!(table.contains(&format!("`{layer}`")), "README's tables name no `{layer}`");
    }
    for feature in features() {
        assert!(readme.contains(&format!("`{feature}`")), "README names no feature `{feature}`");
    }
}

#[test]
fn tests_open_with_their_promise() {
    for path in files_under(&["tests"])
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
    {
        let text = fs::read_to_string(path).unwrap();
        let promise = text.lines().next().and_then(|line| line.strip_prefix("//! "));
        assert!(
            promise.is_some_and(|words| words.len() > 10),
            "{} promises nothing",
            path.display()
        );
    }
}

#[test]
fn pages_speak_of_the_crate_alone() {
    let words = [["ses", "sion"], ["ag", "ent"], ["assis", "tant"]].map(|halves| halves.concat());
    let folders = [["/wo", "rk"], ["/ro", "ot"]].map(|halves| halves.concat());
    // field names, in any spelling, and what HTTP and MCP call theirs
    let fine = [
        "user-agent",
        "user_agent",
        "mcp-session-id",
        "mcp[_-]session[_-]id",
        "no such session",
        "mcp session",
    ];
    let mut faults = String::new();
    for path in files_under(&["."]) {
        let Ok(text) = fs::read_to_string(&path) else { continue }; // no text
        for (at, line) in text.lines().enumerate() {
            let mut line = line.to_lowercase();
            fine.iter().for_each(|name| line = line.replace(name, ""));
            let named = |word: &&String| {
                line.match_indices(&***word).any(|(at, _)| stands_alone(&line, at, word))
            };
            for word in words.iter().chain(&folders).filter(named) {
                let _ = writeln!(faults, "{}:{}: {word}", path.display(), at + 1);
            }
        }
    }
    assert!(faults.is_empty(), "words that say nothing to a user:\n{faults}");
}

type Pattern = fn(&str) -> bool;

fn names_the_map(text: &str) -> bool {
    text.contains("quick_cache::")
}

fn names_redis(text: &str) -> bool {
    text.contains("::redis::") || text.contains("::redis as")
}

fn reads_time(text: &str) -> bool {
    text.contains("Instant::now") || text.contains("SystemTime::now")
}

fn is_service(text: &str) -> bool {
    text.starts_with("impl") && text.contains(" Service<") && text.contains(" for ")
}

fn is_unsafe(text: &str) -> bool {
    text.contains("unsafe ") || text.contains("unsafe{")
}

fn panics(text: &str) -> bool {
    [".unwrap()", "panic!(", "todo!(", "unimplemented!("].iter().any(|word| text.contains(word))
}

fn digit(letter: char) -> bool {
    letter.is_ascii_digit()
}

/// A file of `src/`, by its path from the top.
struct File {
    path: String,
    text: String,
}

impl File {
    fn read(path: &Path) -> Self {
        let path = path.to_str().unwrap().trim_start_matches("./").replace('\\', "/");
        Self { text: read(&path), path }
    }

    /// Numbered lines that are compiled for users: no comments, no tests.
    fn code(&self) -> Vec<(usize, String)> {
        let lines = self.without_tests().into_iter();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        code.map(|(at, line)| (at, line.split(" // ").next().unwrap_or(line).to_owned())).collect()
    }

    /// Numbered lines, without the items under `#[cfg(test)]`.
    fn without_tests(&self) -> Vec<(usize, &str)> {
        let mut lines = Vec::new();
        let mut tests_next = false;
        let mut skipped = None; // how far the test item is indented that is being passed over
        for (at, line) in self.text.lines().enumerate() {
            let (text, indent) = (line.trim(), line.len() - line.trim_start().len());
            if let Some(of) = skipped {
                if indent == of && (text.ends_with('}') || text.ends_with(';')) {
                    skipped = None;
                }
            } else if text == "#[cfg(test)]" {
                tests_next = true;
            } else if !tests_next {
                lines.push((at + 1, line));
            } else if !text.starts_with('#') && !text.starts_with("//") {
                tests_next = false;
                skipped = (!text.ends_with(';') && !text.ends_with('}')).then_some(indent);
            }
        }
        lines
    }
}

/// The files of `src/` that are more than tests.
fn source() -> Vec<File> {
    let is_test = |path: &Path| {
        let name = path.file_stem().unwrap();
        let inside = path.iter().any(|part| part == "tests" || part == "fuzz");
        inside || name == "tests" || name == "vectors"
    };
    let paths = files_under(&["src"]).into_iter();
    let rust = paths.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.filter(|path| !is_test(path)).map(|path| File::read(&path)).collect()
}

/// Every `use crate::…` of these lines as one path each, braces opened, and every other `crate::room::…`.
fn uses(code: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut lines = code.iter();
    while let Some((at, line)) = lines.next() {
        let is_use = line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
        let Some(mut tree) = is_use.strip_prefix("use crate::").map(str::to_owned) else {
            let paths =
                line.match_indices("crate::").map(|(start, word)| &line[start + word.len()..]);
            let end = |letter: char| !(letter.is_alphanumeric() || letter == '_' || letter == ':');
            let whole = paths.map(|rest| rest.split(end).next().unwrap_or(rest));
            found.extend(whole.map(|path| (*at, path.to_owned())));
            continue;
        };
        while !tree.trim_end().ends_with(';') {
            let Some((_, more)) = lines.next() else { break };
            tree.push_str(more.trim());
        }
        let mut paths = Vec::new();
        open(tree.trim_end().trim_end_matches(';'), "", &mut paths);
        found.extend(paths.into_iter().map(|path| (*at, path)));
    }
    found
}

/// Opens the braces of a use tree.
fn open(tree: &str, before: &str, paths: &mut Vec<String>) {
    let Some((stem, rest)) = tree.split_once('{') else {
        paths.push(format!("{before}{}", tree.trim()));
        return;
    };
    let before = format!("{before}{}", stem.trim());
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut start) = (0, 0);
    for (at, letter) in inner.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                open(&inner[start..at], &before, paths);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !inner[start..].trim().is_empty() {
        open(&inner[start..], &before, paths);
    }
}

#[test]
fn use_trees_are_opened() {
    let lines = |text: &str| {
        text.lines().map(str::to_owned).zip(1..).map(|(line, at)| (at, line)).collect::<Vec<_>>()
    };
    let got = uses(&lines(
        "use crate::a::B;\npub use crate::{c::{D, e::F},\n    G};\nlet x = crate::h::i(j);",
    ));
    let want = [(1, "a::B"), (2, "c::D"), (2, "c::e::F"), (2, "G"), (4, "h::i")];
    assert_eq!(got, want.map(|(at, path)| (at, path.to_owned())));
}

fn room_of_file(path: &str) -> String {
    let module = path.trim_start_matches("src/").trim_end_matches(".rs");
    let whole = if FLOORS.iter().any(|rooms| rooms.contains(&module)) {
        module
    } else {
        module.trim_end_matches("/mod")
    };
    longest_room(whole)
}

fn room_of_path(path: &str) -> String {
    let root = ROOT.iter().find(|(name, _)| *name == path).map(|(_, room)| (*room).to_owned());
    root.unwrap_or_else(|| longest_room(&path.replace("::", "/")))
}

/// The room that `module` lies in: the longest of the table that it begins with, else its first part.
fn longest_room(module: &str) -> String {
    let begins = |room: &&&str| {
        module.strip_prefix(**room).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let rooms = FLOORS.iter().flat_map(|rooms| rooms.iter());
    let room = rooms.filter(begins).max_by_key(|room| room.len());
    room.map_or_else(
        || module.split('/').next().unwrap_or(module).to_owned(),
        |room| (*room).to_owned(),
    )
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

fn features() -> Vec<String> {
    let manifest = read("Cargo.toml");
    let section = between(&manifest, "[features]\n", "\n[").unwrap();
    let names = section
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().to_owned());
    names.filter(|name| name != "default").collect()
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// Whether the word at `at` is no part of a longer one.
fn stands_alone(line: &str, at: usize, word: &str) -> bool {
    let inside = |letter: Option<char>| {
        letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let before = line[..at].chars().next_back();
    let path = word.starts_with('/');
    let free = if path { !inside(before) && before != Some('.') } else { !inside(before) };
    free && !inside(line[at + word.len()..].chars().next())
}

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()))
}

/// All files below, from the top folder, without what is built, installed or fuzzed up.
fn files_under(folders: &[&str]) -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = ["target", ".git", "corpus", "artifacts", "seeds", "mutants.out", "node_modules"];
    let (mut files, mut folders) =
        (Vec::new(), folders.iter().map(PathBuf::from).collect::<Vec<_>>());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(top.join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                if !built.iter().any(|name| entry.file_name() == *name) {
                    folders.push(path);
                }
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
