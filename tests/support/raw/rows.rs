//! How a file of rows reads.
//!
//! | line | says |
//! | --- | --- |
//! | `start FLAG …` | how the service of this file is started; `--upstream` adds a recorder |
//! | `== ID title` | a row; after the id `(h1)`, `(h2)` or `(inside)` keep it there |
//! | `at admin`, `at inside` | the next request goes to the admin address, or to a stack in this process; `at main h2` in that protocol |
//! | `> METHOD TARGET` | a request in both protocols, on the connection of the row's earlier ones |
//! | `+ name: value`, `+ name:` | a field, bytes as written; `-name` leaves out what is sent by default, `:name` sets it, `!name` stands last |
//! | `+* N name: value` | N such fields, `{n}` in the name |
//! | `body TEXT`, `trailer name: value` | what follows the head |
//! | `raw TEXT` | instead of all this, bytes of HTTP/1.1; several lines are one text |
//! | `times N`, `slow` | sent N times at once; one byte at a time |
//! | `= STATUS ERROR` | an answer, `-` where there is no `error`; `= cut` for none; several for several raw requests |
//! | `tally 200=60 429=50` | how often, for `times` |
//! | `closed` | and then the connection ends |
//! | `has name: value`, `no name`, `says TEXT`, `lacks TEXT` | of the last answer; `…` ends a value of which only the start is named |
//! | `keep name member` | remembers a member of its JSON, for `{name}` |
//! | `up N`, `up name: value`, `up no name`, `up start TEXT`, `up body TEXT` | requests seen upstream since the last step, and the last of them |
//! | `calls N` | the answer of the stack in this process is the same, after so many store calls |
//!
//! `{name}` is a token, `{name~}` it with the case of a letter changed, `{name%}` with one character percent-encoded,
//! `{text*N}` a text N times. `\r \n \t \0 \s \\ \xHH` are bytes.

use std::collections::HashMap;

#[derive(Clone, Debug, Default)]
pub struct File {
    pub start: Vec<String>,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, Default)]
pub struct Row {
    pub id: String,
    pub title: String,
    pub only: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, Default)]
pub struct Step {
    pub to: String,
    pub method: String,
    pub target: String,
    pub fields: Vec<(String, String)>,
    pub body: String,
    pub trailers: Vec<(String, String)>,
    pub raw: Option<String>,
    pub times: usize,
    pub is_slow: bool,
    pub answers: Vec<(String, String)>,
    pub checks: Vec<(String, String)>,
}

impl File {
    pub fn read(text: &str) -> Self {
        let (mut file, mut to) = (Self::default(), "main".to_owned());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "start" => file.start = rest.split(' ').map(str::to_owned).collect(),
                "==" => file.rows.push(Row::named(rest)),
                "at" => to = rest.to_owned(),
                _ => {
                    let row = file.rows.last_mut().unwrap();
                    row.line(word, rest, &mut to);
                }
            }
        }
        file
    }
}

impl Row {
    fn named(text: &str) -> Self {
        let (id, title) = text.split_once(' ').unwrap();
        let only = title.strip_prefix('(').and_then(|title| title.split_once(") "));
        let (only, title) = only.map_or((None, title), |(only, title)| (Some(only), title));
        let only = only.map(str::to_owned);
        Self { id: id.to_owned(), title: title.to_owned(), only, steps: Vec::new() }
    }

    fn line(&mut self, word: &str, rest: &str, to: &mut String) {
        let pair = || {
            let marks = rest.len() - rest.trim_start_matches(['-', '!', ':']).len();
            let Some(at) = rest[marks..].find(':').map(|at| at + marks) else {
                return (rest.to_owned(), String::new());
            };
            let value = rest[at + 1..].strip_prefix(' ').unwrap_or_default();
            (rest[..at].to_owned(), value.to_owned())
        };
        let continues = self.steps.last().is_some_and(|step| step.answers.is_empty());
        if word == ">" || (word == "raw" && !continues) {
            let to = std::mem::replace(to, "main".to_owned());
            self.steps.push(Step { to, times: 1, ..Step::default() });
        }
        let step = self.steps.last_mut().unwrap();
        match word {
            ">" => {
                let (method, target) = rest.split_once(' ').unwrap();
                (step.method, step.target) = (method.to_owned(), target.to_owned());
            }
            "+" => step.fields.push(pair()),
            "+*" => {
                let (count, _) = rest.split_once(' ').unwrap();
                let (name, value) = pair();
                let name = &name[count.len() + 1..];
                for n in 0..count.parse().unwrap() {
                    step.fields.push((name.replace("{n}", &format!("{n}")), value.clone()));
                }
            }
            "body" => step.body.push_str(rest),
            "trailer" => step.trailers.push(pair()),
            "raw" => step.raw.get_or_insert_default().push_str(rest),
            "times" => step.times = rest.parse().unwrap(),
            "slow" => step.is_slow = true,
            "=" => {
                let (status, error) = rest.split_once(' ').unwrap_or((rest, "-"));
                step.answers.push((status.to_owned(), error.to_owned()));
            }
            "tally" => {
                step.answers.push(("tally".to_owned(), rest.to_owned()));
            }
            "closed" | "has" | "no" | "says" | "lacks" | "keep" | "up" | "calls" => {
                step.checks.push((word.to_owned(), rest.to_owned()));
            }
            other => panic!("{} has a line that says nothing: {other} {rest}", self.id),
        }
    }
}

/// The bytes that a text stands for.
pub fn bytes(text: &str, names: &HashMap<String, String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let close = rest.find('}').filter(|_| first == '{');
        if let Some(end) = close
            && let Some(found) = braced(&rest[1..end], names)
        {
            bytes.extend(found);
            rest = &rest[end + 1..];
            continue;
        }
        rest = &rest[first.len_utf8()..];
        if first != '\\' {
            bytes.extend(first.to_string().bytes());
            continue;
        }
        let escape = rest.chars().next().unwrap();
        rest = &rest[1..];
        bytes.push(match escape {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            's' => b' ',
            '\\' => b'\\',
            'x' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(digits, 16).unwrap()
            }
            other => panic!("no escape: {other}"),
        });
    }
    bytes
}

fn braced(inside: &str, names: &HashMap<String, String>) -> Option<Vec<u8>> {
    if let Some((text, count)) = inside.rsplit_once('*') {
        return Some(bytes(text, names).repeat(count.parse().ok()?));
    }
    if let Some(name) = inside.strip_suffix('~') {
        let token = names.get(name)?;
        let at = token.rfind(|letter: char| letter.is_ascii_alphabetic())?;
        let mut flipped = token.clone().into_bytes();
        flipped[at] ^= 0x20;
        return Some(flipped);
    }
    if let Some(name) = inside.strip_suffix('%') {
        let token = names.get(name)?;
        return Some(format!("{}%{:02X}{}", &token[..9], token.as_bytes()[9], &token[10..]).into());
    }
    names.get(inside).map(|text| text.clone().into_bytes())
}

pub fn text(text: &str, names: &HashMap<String, String>) -> String {
    String::from_utf8_lossy(&bytes(text, names)).into_owned()
}
