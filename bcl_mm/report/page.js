const shown = 100;
let order = null, descending = false;
const find = id => document.getElementById(id);
// A bar from 0 to 100 % behind a method's accuracy, in the method's colour.
function bar(colour, value) {
  return `linear-gradient(to right, ${colour}55 ${value}%, transparent ${value}%)`;
}
function draw() {
  const word = find('search').value.toLowerCase();
  const found = rows.filter(row => row[0].toLowerCase().includes(word));
  if (order !== null) {
    found.sort((a, b) => {
      const [x, y] = [a[order], b[order]];
      if (x === null || y === null) return (x === null) - (y === null);
      const less = typeof x === 'string' ? x.localeCompare(y, undefined, {numeric: true}) : x - y;
      return descending ? -less : less;
    });
  }
  find('heads').childNodes.forEach((cell, column) => {
    cell.ariaSort = column !== order ? 'none' : descending ? 'descending' : 'ascending';
  });
  const part = found.slice(0, shown);
  find('count').textContent = `${part.length} of ${found.length} shown.`;
  find('rows').replaceChildren(...part.map(row => {
    const line = document.createElement('tr');
    row.forEach((value, column) => {
      const cell = line.insertCell();
      const colour = colours[column];
      if (value === null) return;
      if (column === 0) {
        // A long name breaks behind these signs first.
        value.split(/(?<=[_/.])/).forEach(part => cell.append(part, document.createElement('wbr')));
        return;
      }
      cell.textContent = column === colours.length && value > 0 ? `+${value.toFixed(1)}`
        : column < 3 ? value.toLocaleString('en') : value.toFixed(1);
      if (colour) cell.style.background = bar(colour, value);
    });
    return line;
  }));
}
heads.forEach((head, column) => {
  const button = document.createElement('button');
  // Names can be long, and a table must stay readable.
  button.textContent = head.length > 32 ? `${head.slice(0, 16)}…${head.slice(-15)}` : head;
  button.title = head;
  button.onclick = () => {
    descending = order === column && !descending;
    order = column;
    draw();
  };
  const cell = document.createElement('th');
  const line = document.createElement('span');
  if (colours[column]) {
    const dot = document.createElement('span');
    dot.className = 'dot';
    dot.style.background = colours[column];
    line.append(dot);
  }
  line.append(button);
  cell.append(line);
  find('heads').append(cell);
});
find('search').oninput = draw;
draw();
// Say which tables scroll: not every browser shows a scroll bar.
function hint() {
  document.querySelectorAll('.scroll').forEach(box => {
    box.parentNode.classList.toggle('is-wide', box.scrollWidth > box.clientWidth + 1);
  });
}
addEventListener('resize', hint);
document.querySelectorAll('details').forEach(part => part.addEventListener('toggle', hint));
hint();
// On paper everything is open.
let closed = [];
addEventListener('beforeprint', () => {
  closed = [...document.querySelectorAll('details:not([open])')];
  closed.forEach(part => { part.open = true; });
});
addEventListener('afterprint', () => closed.forEach(part => { part.open = false; }));
// A link into a closed part opens it.
function openTarget() {
  const part = find(location.hash.slice(1));
  if (part && part.tagName === 'DETAILS') part.open = true;
}
addEventListener('hashchange', openTarget);
openTarget();
