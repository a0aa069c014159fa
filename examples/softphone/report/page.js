(function () {
  'use strict';
  var texts = document.querySelector('.texts');
  var rows = Array.prototype.slice.call(document.querySelectorAll('a.row'));
  function pick(index) {
    rows.forEach(function (row, i) { row.classList.toggle('picked', i === index); });
    Array.prototype.forEach.call(texts.children, function (text, i) { text.classList.toggle('picked', i === index); });
    texts.scrollTop = 0;
  }
  if (texts && rows.length) {
    texts.classList.add('script');
    rows.forEach(function (row, index) {
      row.addEventListener('click', function (event) { event.preventDefault(); pick(index); });
      row.addEventListener('keydown', function (event) {
        var step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        var next = step && rows[index + step];
        if (next) { event.preventDefault(); next.focus(); pick(index + step); }
      });
    });
    pick(0);
  }
  Array.prototype.forEach.call(document.querySelectorAll('svg.plot'), function (svg) {
    var lines = JSON.parse(svg.dataset.lines), x = svg.dataset.x.split(',').map(Number);
    var cursor = svg.querySelector('.cursor'), box = document.createElement('div');
    box.className = 'tip-box'; box.hidden = true; svg.parentNode.appendChild(box);
    function hide() { box.hidden = true; cursor.setAttribute('visibility', 'hidden'); }
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('pointermove', function (event) {
      var frame = svg.getBoundingClientRect(), scale = frame.width / svg.viewBox.baseVal.width;
      var at = (event.clientX - frame.left) / scale;
      var t = x[0] + (at - x[2]) / (x[3] - x[2]) * (x[1] - x[0]);
      if (t < x[0] - 1 || t > x[1] + 1) { hide(); return; }
      var shown = null; box.textContent = '';
      lines.forEach(function (line) {
        var best = line.points.reduce(function (a, b) {
          return !a || Math.abs(b[0] - t) < Math.abs(a[0] - t) ? b : a;
        }, null);
        if (!best) { return; }
        if (shown === null) {
          shown = best[0];
          box.appendChild(document.createTextNode(best[0].toFixed(1) + ' s'));
        }
        var row = document.createElement('div'), dash = document.createElement('i');
        dash.className = 'dash s' + line.series;
        row.appendChild(dash);
        row.appendChild(document.createTextNode(line.name + '  ' + (best[1] === null ? '–' : best[1])));
        box.appendChild(row);
      });
      if (shown === null) { return; }
      var px = x[2] + (shown - x[0]) / (x[1] - x[0]) * (x[3] - x[2]);
      cursor.setAttribute('x1', px); cursor.setAttribute('x2', px);
      cursor.setAttribute('visibility', 'visible');
      box.hidden = false;
      var left = px * scale + 12;
      if (left + box.offsetWidth > frame.width) { left = px * scale - 12 - box.offsetWidth; }
      box.style.left = left + 'px'; box.style.top = '40px';
    });
  });
})();
