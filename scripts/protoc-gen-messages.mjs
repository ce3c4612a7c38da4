#!/usr/bin/env node
// A protoc plugin: for each message its type and a table of its fields, for each service its methods, in the terms of
// src/grpc/message.ts. Enough for the contracts in proto/; anything else in them is refused, not guessed.
import { createEcmaScriptPlugin, runNodeJs } from '@bufbuild/protoplugin';
import { ScalarType } from '@bufbuild/protobuf';

const SCALARS = {
  [ScalarType.STRING]: ['string', 'string'],
  [ScalarType.BYTES]: ['bytes', 'Uint8Array'],
  [ScalarType.BOOL]: ['bool', 'boolean'],
  [ScalarType.INT32]: ['int32', 'number'],
  [ScalarType.INT64]: ['int64', 'bigint'],
  [ScalarType.UINT64]: ['uint64', 'bigint'],
};

runNodeJs(
  createEcmaScriptPlugin({
    name: 'protoc-gen-messages',
    version: 'v1',
    generateTs: (schema) => schema.files.forEach((file) => generate(schema, file)),
  }),
);

function generate(schema, file) {
  if (file.extensions.length > 0) throw new Error(`${file.name}: extensions are not supported`);
  const out = schema.generateFile(`${file.name}_pb.ts`);
  out.preamble(file);
  const depth = '../'.repeat(file.name.split('/').length);
  out.print(`import { messageType, type MessageType } from '${depth}grpc/message.js';`);
  const kinds = new Set(file.services.flatMap(({ methods }) => methods.map(kindOfMethod)));
  if (kinds.size > 0)
    out.print(`import { serviceType, ${[...kinds].sort().join(', ')} } from '${depth}grpc/service.js';`);
  out.print();
  for (const desc of file.enums) printEnum(out, desc);
  for (const desc of file.messages) printMessage(out, desc);
  for (const desc of file.services) printService(out, desc);
}

function printEnum(out, desc) {
  out.print(out.jsDoc(desc));
  out.print('export const ', desc.name, ' = {');
  for (const value of desc.values) {
    out.print(out.jsDoc(value, '  '));
    out.print('  ', value.localName, ': ', value.number, ',');
  }
  out.print('} as const;');
  out.print('export type ', desc.name, ' = (typeof ', desc.name, ')[keyof typeof ', desc.name, '];');
  out.print();
}

function printMessage(out, desc) {
  if (
    desc.nestedEnums.length > 0 ||
    desc.oneofs.length > 0 ||
    desc.nestedMessages.some(({ fields }) => fields[0].name !== 'key')
  )
    throw new Error(`${desc.typeName}: nested types and oneofs are not supported`);
  out.print(out.jsDoc(desc));
  out.print('export interface ', desc.name, ' {');
  for (const field of desc.fields) {
    out.print(out.jsDoc(field, '  '));
    const optional = field.fieldKind === 'message' || field.proto.proto3Optional;
    out.print(
      '  ',
      field.localName,
      optional ? '?: ' : ': ',
      typeOf(field),
      optional ? ' | undefined;' : ';',
    );
  }
  out.print('}');
  const rows = desc.fields.map((field) => `  [${field.number}, '${field.localName}', ${kindOf(field)}],`);
  out.print(
    'export const ',
    desc.name,
    ': MessageType<',
    desc.name,
    "> = messageType('",
    desc.typeName,
    "', [",
  );
  for (const row of rows) out.print(row);
  out.print(']);');
  out.print();
}

function typeOf(field) {
  const { fieldKind } = field;
  if (fieldKind === 'list') return `${elementType(field, field.listKind)}[]`;
  if (fieldKind === 'map') return `Record<string, ${elementType(field, field.mapKind)}>`;
  return elementType(field, fieldKind);
}

function elementType(field, kind) {
  if (kind === 'message') return field.message.name;
  if (kind === 'enum') return field.enum.name;
  return scalarOf(field)[1];
}

function kindOf(field) {
  const { fieldKind } = field;
  if (fieldKind === 'map' && field.mapKey !== ScalarType.STRING)
    throw new Error(`${field.parent.typeName}.${field.name}: only maps by string are supported`);
  const kind = fieldKind === 'list' ? field.listKind : fieldKind === 'map' ? field.mapKind : fieldKind;
  const element =
    kind === 'message'
      ? `() => ${field.message.name}`
      : kind === 'enum'
        ? `'int32'`
        : `'${scalarOf(field)[0]}'`;
  const label =
    fieldKind === 'list'
      ? 'repeated'
      : fieldKind === 'map'
        ? 'map'
        : field.proto.proto3Optional
          ? 'optional'
          : undefined;
  return label === undefined ? element : `${element}, '${label}'`;
}

function scalarOf(field) {
  const found = SCALARS[field.scalar];
  if (found === undefined)
    throw new Error(`${field.parent.typeName}.${field.name}: its type is not supported`);
  return found;
}

function printService(out, desc) {
  out.print(out.jsDoc(desc));
  out.print('export const ', desc.name, " = serviceType('", desc.typeName, "', {");
  for (const method of desc.methods) {
    out.print(out.jsDoc(method, '  '));
    out.print(
      '  ',
      method.localName,
      ': ',
      kindOfMethod(method),
      "('",
      method.name,
      "', ",
      method.input.name,
      ', ',
      method.output.name,
      '),',
    );
  }
  out.print('});');
  out.print();
}

function kindOfMethod(method) {
  const kind = { unary: 'unary', server_streaming: 'stream' }[method.methodKind];
  if (kind === undefined) throw new Error(`${method.toString()}: streams of requests are not supported`);
  return kind;
}
