//! Rows of cells in, text with aligned columns out.

/// One line a row; columns as wide as their widest cell.
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |at: usize| rows.iter().filter_map(move |row| row.get(at)).map(|cell| cell.chars().count());
    let widths: Vec<_> = (0..count).map(|at| length(at).max().unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
