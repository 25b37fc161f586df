// Opens the echo socket of this host and shows what comes back.
'use strict';
const $ = (id) => document.getElementById(id);
const state = (word, tone) => { $('state').textContent = word; $('state').className = 'badge ' + tone; };
const lines = [];
const show = (line) => { lines.push(line); while (lines.length > 12) lines.shift(); $('log').textContent = lines.join('\n'); };

const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/ws');
socket.onopen = () => { state('Connected', 'good'); socket.send('hello from the browser'); };
socket.onmessage = (event) => show('← ' + event.data);
socket.onclose = (event) => state('Closed (' + event.code + ')', 'bad');
$('say').addEventListener('submit', (event) => {
  event.preventDefault();
  if (socket.readyState === WebSocket.OPEN) { show('→ ' + $('text').value); socket.send($('text').value); }
});
