// What the browser keeps: the classes and the pictures of one space of embeddings.
'use strict';

class Store {
  // Where the browser keeps nothing, as in some private windows, `isOpen` is false and nothing is
  // kept beyond this visit.
  constructor(database, space) {
    this.database = database;
    this.space = space;
  }

  static open(space) {
    return new Promise((resolve) => {
      let request;
      try {
        request = indexedDB.open('s2bnn', 1);
      } catch {
        resolve(new Store(null, space));
        return;
      }
      request.onupgradeneeded = () => {
        request.result.createObjectStore('classes');
        const pictures = request.result.createObjectStore('pictures', {
          keyPath: 'id', autoIncrement: true,
        });
        pictures.createIndex('space', 'space');
      };
      request.onsuccess = () => resolve(new Store(request.result, space));
      request.onerror = () => resolve(new Store(null, space));
    });
  }

  get isOpen() {
    return this.database !== null;
  }

  readClasses() {
    return this.ask('classes', 'readonly', (table) => table.get(this.space), []);
  }

  keepClasses(classes) {
    return this.ask('classes', 'readwrite', (table) => table.put(classes, this.space));
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
