// The page: pictures in, classes and similar pictures out.
'use strict';

const LARGEST = 16e6; // pixels that every browser's canvas takes; larger pictures are made smaller
const THUMBNAIL = 192; // pixels of the longer side
const LIVE_PAUSE = 200; // milliseconds between two looks through the camera

const part = (id) => document.getElementById(id);
const state = { pictures: [], selected: new Set(), classes: new Classes(), sorted: null };
let network;
let store;

function say(text) {
  part('message').textContent = text;
}

// Draw a picture over white, as the device lays transparent ones; at most LARGEST pixels.
function draw(source, width, height, longest = 0) {
  const shrunk = longest ? longest / Math.max(width, height) : Math.sqrt(LARGEST / (width * height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width * Math.min(shrunk, 1)));
  canvas.height = Math.max(1, Math.round(height * Math.min(shrunk, 1)));
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return { canvas, context };
}

// The network's output for a picture, an image or a video.
function look(source, width, height) {
  const { canvas, context } = draw(source, width, height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return network(see(data, canvas.height, canvas.width, MODEL.input, MODEL.kept));
}

async function addPicture(source, width, height, name) {
  const vector = look(source, width, height);
  unit(vector); // which refuses what cannot be compared
  const picture = {
    name, vector, image: draw(source, width, height, THUMBNAIL).canvas.toDataURL('image/jpeg', 0.8),
  };
  try {
    picture.id = await store.keepPicture(picture);
  } catch (error) {
    say(`The browser could not keep ${name} (${error.message}); it is here until you leave.`);
  }
  state.pictures.push(picture);
}

async function addFiles(files) {
  say('');
  const refused = [];
  for (const file of files) {
    try {
      // The embedded color profile is ignored, as on the device.
      const options = { imageOrientation: 'from-image', colorSpaceConversion: 'none' };
      const bitmap = await createImageBitmap(file, options);
      await addPicture(bitmap, bitmap.width, bitmap.height, file.name);
      bitmap.close();
    } catch {
      refused.push(file.name);
    }
    show();
  }
  if (refused.length) say(`Not pictures that this browser can read: ${refused.join(', ')}.`);
}

// The class of an output in words.
function describe(vector) {
  const found = state.classes.predict(vector);
  if (found !== null) {
    return { title: found.name ?? 'none of them', score: found.score };
  }
  if (!MODEL.labels) return null;
  const best = vector.indexOf(Math.max(...vector));
  return { title: MODEL.labels[best] ?? `class ${best}`, score: null };
}

function element(kind, text, parent) {
  const made = document.createElement(kind);
  made.textContent = text;
  parent.append(made);
  return made;
}

function showClasses() {
  const list = part('classes');
  list.replaceChildren();
  part('names').replaceChildren();
  for (const { name, count } of state.classes.all.values()) {
    const row = element('li', `${name} (${count}) `, list);
    const button = element('button', '×', row);
    button.setAttribute('aria-label', `Forget ${name}`);
    button.onclick = () => change(() => state.classes.forget(name));
    element('option', '', part('names')).value = name;
  }
  let said = 'Select pictures below, and give them a name.';
  if (state.classes.all.size) {
    said = 'Nothing is rejected: enroll at least 5 pictures of each class.';
    if (state.classes.thresholds) said = 'Of further pictures of a class, about 5 % are rejected.';
    const { threshold } = state.classes.file;
    if (threshold > -1) said = `Pictures below a cosine of ${threshold.toFixed(4)} are rejected.`;
  }
  part('rejection').textContent = said;
}

function showPictures() {
  const list = part('pictures');
  list.replaceChildren();
  for (const picture of state.sorted ?? state.pictures) {
    const button = element('button', '', element('li', '', list));
    button.type = 'button';
    button.setAttribute('aria-pressed', String(state.selected.has(picture)));
    const image = element('img', '', button);
    image.src = picture.image;
    image.alt = '';
    const found = describe(picture.vector);
    if (found) {
      const score = found.score === null ? '' : ` ${found.score.toFixed(4)}`;
      element('b', `${found.title}${score}`, button);
    }
    const similar = state.sorted ? `similarity ${picture.similarity.toFixed(4)}, ` : '';
    element('span', similar + picture.name, button);
    button.onclick = () => {
      if (!state.selected.delete(picture)) state.selected.add(picture);
      button.setAttribute('aria-pressed', String(state.selected.has(picture)));
      showButtons();
    };
  }
}

function showButtons() {
  const count = state.selected.size;
  part('similar').disabled = count !== 1;
  part('remove').disabled = count === 0;
  part('add').disabled = count === 0;
  part('all').hidden = state.sorted === null;
  part('chosen').textContent = state.pictures.length ? `${count} selected` : 'None yet.';
}

function show() {
  showClasses();
  showPictures();
  showButtons();
}

// Change the classes, and keep them.
async function change(what) {
  say('');
  try {
    what();
    await store.keepClasses(state.classes.toKeep());
  } catch (error) {
    say(`The classes were not kept: ${error.message}.`);
  }
  state.selected.clear();
  show();
}

function enrollSelected(event) {
  event.preventDefault();
  const name = part('name').value.trim();
  if (!name || !state.selected.size) return;
  const vectors = [...state.selected].map((picture) => picture.vector);
  part('name').value = '';
  change(() => state.classes.enroll(name, vectors));
}

function findSimilar() {
  const [picture] = state.selected;
  const wanted = unit(picture.vector);
  for (const other of state.pictures) other.similarity = dot(unit(other.vector), wanted);
  state.sorted = [...state.pictures].sort((a, b) => b.similarity - a.similarity);
  show();
}

async function removeSelected() {
  for (const picture of state.selected) {
    if (picture.id !== undefined) await store.removePicture(picture.id);
  }
  state.pictures = state.pictures.filter((picture) => !state.selected.has(picture));
  state.selected.clear();
  state.sorted = null;
  show();
}

async function startCamera() {
  const video = part('video');
  say('');
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({
      video: { facingMode: 'environment' },
    });
    await video.play();
  } catch {
    say('The camera cannot be used: allow it, and open the page from a file or by https.');
    return;
  }
  part('live').hidden = false;
  part('camera').disabled = true;
  lookThroughCamera();
}

function lookThroughCamera() {
  const video = part('video');
  if (!video.srcObject) return;
  const found = describe(look(video, video.videoWidth, video.videoHeight));
  const score = found && found.score !== null ? ` ${found.score.toFixed(4)}` : '';
  part('seen').textContent = found ? found.title + score : '';
  setTimeout(lookThroughCamera, LIVE_PAUSE);
}

function stopCamera() {
  const video = part('video');
  for (const track of video.srcObject?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  part('live').hidden = true;
  part('camera').disabled = false;
}

async function takePicture() {
  const video = part('video');
  const name = new Date().toLocaleTimeString();
  await addPicture(video, video.videoWidth, video.videoHeight, `camera ${name}`);
  show();
}

function loadScript(file) {
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = file;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`${file} is missing`));
    document.head.append(script);
  });
}

function connect() {
  const drop = part('drop');
  document.ondragover = (event) => { event.preventDefault(); drop.classList.add('over'); };
  document.ondragleave = () => drop.classList.remove('over');
  document.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    addFiles([...event.dataTransfer.files]);
  };
  part('files').onchange = (event) => {
    addFiles([...event.target.files]).then(() => { event.target.value = ''; });
  };
  part('enroll').onsubmit = enrollSelected;
  part('similar').onclick = findSimilar;
  part('remove').onclick = removeSelected;
  part('all').onclick = () => { state.sorted = null; show(); };
  part('camera').onclick = startCamera;
  part('stop').onclick = stopCamera;
  part('take').onclick = takePicture;
}

async function start() {
  const file = networkFile();
  await loadScript(file);
  network = await startNetwork(decodeBase64(NETWORK), MODEL);
  store = await Store.open(MODEL.space, BEGUN.key);
  state.classes = new Classes(await store.readClasses(), readFile(BEGUN));
  state.pictures = await store.readPictures();
  const [height, width] = MODEL.input;
  const kept = store.isOpen ? '' : ' This browser keeps nothing: classes last until you leave.';
  part('about').textContent = `${MODEL.name} looks at ${width} × ${height} pixels.${kept}`;
  connect();
  show();
  document.body.dataset.ready = file;
}

start().catch((error) => say(`The page cannot start: ${error.message}.`));
