//! Stands in for a step that was made elsewhere: these files are never run, only refused.

pub fn given<T>() -> T {
    unreachable!("a wrong order does not compile")
}
