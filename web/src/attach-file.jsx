import { useRef } from 'react';

/** Chooses the file that goes with operations whose variables have `input.audio`. */
export function AttachFile({ file, onChange }) {
  const input = useRef(null);
  const remove = () => {
    input.current.value = '';
    onChange(null);
  };
  return (
    <div className="attach-file">
      <label title="Sent as input.audio of operations whose variables have it">
        Attach file
        <input ref={input} type="file" onChange={(event) => onChange(event.target.files[0] ?? null)} />
      </label>
      {file && <button type="button" onClick={remove} aria-label={`Remove ${file.name}`}>Remove</button>}
    </div>
  );
}
