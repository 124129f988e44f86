//! The server's `Table`, printed in columns as kubectl does.

use serde_json::Value;

/// Which columns, and what stands before them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// Columns of every priority.
    pub(crate) wide: bool,
    /// A column with the namespace.
    pub(crate) namespaces: bool,
    /// The line of column names.
    pub(crate) headers: bool,
}

/// Spaces between columns.
const GAP: usize = 3;

/// The widths and columns of a table: later rows of a watch keep those of the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    /// Index in the row's cells and name.
    shown: Vec<(usize, String)>,
    widths: Vec<usize>,
}

/// The lines of a table, without their newlines.
///
/// `columns` is empty for the first table of a watch and tells later ones (whose definitions are
/// empty) how to look.
pub(crate) fn lines(table: &Value, layout: Layout, columns: &mut Columns) -> Vec<String> {
    let first = columns.shown.is_empty();
    if first {
        columns.shown = shown(table, layout.wide);
    }
    let mut grid: Vec<Vec<String>> = Vec::new();
    if first && layout.headers {
        let names = columns.shown.iter().map(|(_, name)| name.to_uppercase());
        grid.push(
            layout.namespaces.then(|| "NAMESPACE".to_owned()).into_iter().chain(names).collect(),
        );
    }
    for row in table["rows"].as_array().into_iter().flatten() {
        let namespace = layout.namespaces.then(|| cell(&row["object"]["metadata"]["namespace"]));
        let cells = columns.shown.iter().map(|(index, _)| cell(&row["cells"][*index]));
        grid.push(namespace.into_iter().chain(cells).collect());
    }
    for row in &grid {
        columns.widths.resize(columns.widths.len().max(row.len()), 0);
        for (width, cell) in columns.widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    grid.iter().map(|row| line(row, &columns.widths)).collect()
}

fn shown(table: &Value, wide: bool) -> Vec<(usize, String)> {
    let definitions = table["columnDefinitions"].as_array().into_iter().flatten();
    definitions
        .enumerate()
        .filter(|(_, column)| wide || column["priority"].as_i64().unwrap_or(0) == 0)
        .map(|(index, column)| (index, column["name"].as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let pad = width + GAP - cell.chars().count().min(width + GAP);
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', pad));
    }
    text.trim_end().to_owned()
}

/// A cell on one line; control characters of a record must not reach the terminal.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => return "<none>".to_owned(),
        Value::String(text) if text.is_empty() => return "<none>".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(layout: Layout, expected: &Expect) {
        let table = json!({
            "columnDefinitions": [
                {"name": "Name", "priority": 0},
                {"name": "State", "priority": 0},
                {"name": "Message", "priority": 1},
                {"name": "Exit", "priority": 0},
            ],
            "rows": [
                {"cells": ["a", "Running", "all\nwell", null],
                 "object": {"metadata": {"namespace": "x"}}},
                {"cells": ["longer", "Failed", "", 3], "object": {"metadata": {"namespace": "yy"}}},
            ],
        });
        let lines = lines(&table, layout, &mut Columns::default());
        expected.assert_eq(&lines.iter().map(|line| format!("{line}|\n")).collect::<String>());
    }

    #[test]
    fn columns_line_up() {
        let layout = Layout { wide: false, namespaces: false, headers: true };
        check(
            layout,
            &expect![[r#"
            NAME     STATE     EXIT|
            a        Running   <none>|
            longer   Failed    3|
        "#]],
        );
    }

    #[test]
    fn wide_shows_every_priority_and_namespaces_come_first() {
        let layout = Layout { wide: true, namespaces: true, headers: false };
        check(
            layout,
            &expect![[r#"
            x    a        Running   all well   <none>|
            yy   longer   Failed    <none>     3|
        "#]],
        );
    }

    #[test]
    fn later_tables_of_a_watch_keep_the_columns_of_the_first() {
        let mut columns = Columns::default();
        let layout = Layout { wide: false, namespaces: false, headers: true };
        let first = json!({"columnDefinitions": [{"name": "Name"}], "rows": []});
        assert_eq!(lines(&first, layout, &mut columns), ["NAME"]);
        let next = json!({"columnDefinitions": null, "rows": [{"cells": ["a"]}]});
        assert_eq!(lines(&next, layout, &mut columns), ["a"]);
    }
}
