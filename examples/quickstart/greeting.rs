//! What is said on stdout: addresses, tokens (shown once), three lines to paste, `ready`.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::planting::Shown;

/// Writes every line and flushes it.
pub fn greet(addr: SocketAddr, admin: SocketAddr, tokens: &[Shown], limit: u32) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening on http://{addr}")?;
    writeln!(out, "admin on http://{admin}")?;
    for Shown { name, text, may, .. } in tokens {
        writeln!(out, "token {name} {text} {may}")?;
    }
    for line in lines_to_paste(addr, tokens, limit) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "ready")?;
    out.flush()
}

/// 200, 403 and 429, as far as the tokens go.
fn lines_to_paste(addr: SocketAddr, tokens: &[Shown], limit: u32) -> [String; 3] {
    let live = || tokens.iter().filter(|token| token.is_live);
    let bearer = |token: &Shown| format!("-H 'Authorization: Bearer {}'", token.text);
    let passes = match live().next() {
        Some(token) => format!("curl -i {} http://{addr}/me  # 200", bearer(token)),
        None => format!("curl -i http://{addr}/healthz  # 200"),
    };
    let lacks = |scope: &str| {
        let holds =
            move |held: &String| held == scope || matches!(held.as_str(), "full" | "apps:manage");
        live().find(move |token| token.kind == "account" && !token.scopes.iter().any(holds))
    };
    let externals = live().find(|token| token.kind == "external");
    let refused = match (lacks("apps:run"), externals, live().next()) {
        (Some(token), _, _) => {
            let post = format!("-X POST http://{addr}/apps/app-public/run");
            format!("curl -i {} {post}  # 403, it lacks apps:run", bearer(token))
        }
        (None, Some(token), _) => {
            let get = format!("http://{addr}/workspaces/ws-north/apps");
            format!("curl -i {} {get}  # 403, not for this kind of token", bearer(token))
        }
        (None, None, Some(token)) => {
            format!(
                "curl -i {} http://{addr}/permitted-apps  # 403, not for this kind of token",
                bearer(token)
            )
        }
        (None, None, None) => format!("curl -i http://{addr}/me  # 401, there is no live token"),
    };
    // another token than the first line's, so that the lines can be pasted in any order
    let limited = match live().next_back() {
        Some(token) => format!(
            "curl -s -o /dev/null -w '%{{http_code}}\\n' {} 'http://{addr}/me?[1-{}]'  # 429 at last, over its limit of {limit}",
            bearer(token),
            u64::from(limit) + 1,
        ),
        None => format!("curl -i http://{addr}/me  # 401, there is no live token"),
    };
    [passes, refused, limited]
}
