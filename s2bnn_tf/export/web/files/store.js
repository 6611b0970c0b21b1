// What the browser keeps: the classes and the pictures of one space of embeddings.
'use strict';

class Store {
  // Where the browser keeps nothing, as in some private windows, `isOpen` is false and nothing is
  // kept beyond this visit. `key` names the file of classes that the page was made with, if any.
  constructor(database, space, key) {
    this.database = database;
    this.space = space;
    this.classes = key ? `${space} ${key}` : space;
  }

  static open(space, key) {
    return new Promise((resolve) => {
      let request;
      try {
        request = indexedDB.open('s2bnn', 1);
      } catch {
        resolve(new Store(null, space, key));
        return;
      }
      request.onupgradeneeded = () => {
        request.result.createObjectStore('classes');
        const pictures = request.result.createObjectStore('pictures', {
          keyPath: 'id', autoIncrement: true,
        });
        pictures.createIndex('space', 'space');
      };
      request.onsuccess = () => resolve(new Store(request.result, space, key));
      request.onerror = () => resolve(new Store(null, space, key));
    });
  }

  get isOpen() {
    return this.database !== null;
  }

  // Undefined where none were kept.
  readClasses() {
    return this.ask('classes', 'readonly', (table) => table.get(this.classes));
  }

  keepClasses(classes) {
    return this.ask('classes', 'readwrite', (table) => table.put(classes, this.classes));
  }

  readPictures() {
    return this.ask('pictures', 'readonly', (table) => table.index('space').getAll(this.space), []);
  }

  // Returns the picture's number.
  keepPicture(picture) {
    const kept = { ...picture, space: this.space };
    return this.ask('pictures', 'readwrite', (table) => table.add(kept));
  }

  removePicture(id) {
    return this.ask('pictures', 'readwrite', (table) => table.delete(id));
  }

  ask(name, mode, what, otherwise = undefined) {
    if (!this.isOpen) return Promise.resolve(otherwise);
    return new Promise((resolve, reject) => {
      const transaction = this.database.transaction(name, mode);
      const request = what(transaction.objectStore(name));
      transaction.oncomplete = () => resolve(request.result ?? otherwise);
      transaction.onabort = () => reject(transaction.error || new Error('the browser refused'));
    });
  }
}
